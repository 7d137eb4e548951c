"""Where a point of a curve comes from: a run of a single system, or a member of a family. Loads TensorFlow."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_nqs.config import Settings
from tf_nqs.exact import NO_REFERENCE, Reference
from tf_nqs.experiment.build import Run
from tf_nqs.experiment.diffusion_guide import diffused_reference
from tf_nqs.named_systems import NamedSystem
from tf_nqs.training import VariationalMonteCarlo

logger = logging.getLogger(__name__)


class Source:
    """A point of a curve; see `tf_nqs.studies.curve.points.PointSource`.

    Args:
        name: of the run or the member.
        settings: of its system alone, overridden by those of the command line.
        psi: what tells its wave function from others; values that JSON can hold.
        trainer: returns a compiled trainer with the wave function. That of a member has walkers of the one before.
        wave_function: returns it alone.
        wanted: the kind of reference: auto, exact, diffusion or none.
        found: returns a reference that needs no diffusion, with energy None if there is none.
        found_identity: what that reference depends on; values that JSON can hold.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        psi: dict[str, Any],
        trainer: Callable[[], VariationalMonteCarlo],
        wave_function: Callable[[], Any],
        wanted: str,
        found: Callable[[], Reference],
        found_identity: dict[str, Any],
    ):
        self._settings, self._wanted, self._found = settings, wanted, found
        self.name, self.trainer, self.wave_function = name, trainer, wave_function
        self.system = NamedSystem(**settings.system.resolved())
        self.target_error = settings.evaluation.target_error
        self.max_seconds = settings.evaluation.evaluation_max_seconds
        self.identity: dict[str, Any] = {
            "system": list(self.system),
            "sampling": settings.sampling.model_dump(),
            "laplacian": settings.training.laplacian,
            "seed": settings.run.seed,
            "target_error": self.target_error,
            "max_seconds": self.max_seconds,
            **psi,
        }
        self.reference_identity: dict[str, Any] = {
            "system": list(self.system),
            "max_seconds": settings.evaluation.reference_max_seconds,
            **found_identity,
        }
        if wanted == "diffusion":  # guided by what was measured, from its samples
            self.reference_identity["diffusion_of"] = self.identity

    def reference(self, positions: np.ndarray) -> Reference:
        """Returns what the energy is compared with.

        Args:
            positions: samples of the wave function, shape (n_samplings, n_walkers, n_particles), in a_ho.
        """
        found = NO_REFERENCE if self._wanted == "none" else self._found()
        if found.energy is not None or self._wanted != "diffusion":
            return found
        seconds, target = self.max_seconds, self.target_error
        logger.info(f"diffusion for {self.name} until the error is {target:g} ħω, at most {seconds:g} seconds ...")
        vmc, seed = self.trainer(), self._settings.run.seed
        walkers = positions.reshape(-1, positions.shape[2])
        walkers = walkers[np.all(np.isfinite(walkers), axis=1)]
        parts = vmc.system, vmc.ansatz, target, seconds, seed, walkers, self._settings.training.jit_compile
        try:
            return diffused_reference(*parts)
        except ValueError as error:
            logger.info(f"no reference by diffusion for {self.name}: {error}")
            return NO_REFERENCE


def digest_of_weights(run: Run) -> str:
    """Returns what tells the weights of a run from others."""
    weights = b"".join(np.ascontiguousarray(one).tobytes() for one in run.ansatz.get_weights())
    return hashlib.sha256(weights).hexdigest()
