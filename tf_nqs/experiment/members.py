"""Members of a family's run, one after the other: what is compiled for one of them serves all."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.ansatz.conditioned import ConditionedAnsatz
from tf_nqs.config import Settings
from tf_nqs.experiment.build import Run, build_trainer
from tf_nqs.physics.contact_zone import contact_zone
from tf_nqs.training import VariationalMonteCarlo
from tf_nqs.types import SignedLog, Tensor


class MemberTrainers:
    """One trainer for each number of particles, which goes from member to member.

    Weights, strength and range are data of its compiled functions. Its walkers stay where they are: those of one member
    are a good start for the next. A member whose interaction is so short-ranged that it needs samples of near pairs, to
    which extrapolation may lead, has a new trainer.

    Args:
        run: of a family.
        override: changes the settings of a member, e.g. its sampling.
    """

    def __init__(self, run: Run, override: Callable[[Settings], Settings] = lambda settings: settings):
        self._run, self._override = run, override
        self._trainers: dict[int, VariationalMonteCarlo] = {}

    def at(
        self, n_particles: int, interaction_strength: float, interaction_range: float | None
    ) -> VariationalMonteCarlo:
        """Returns the trainer of a number of particles with one member's wave function and system.

        Args:
            n_particles: A.
            interaction_strength: as the interaction has it.
            interaction_range: in a_ho; None for an interaction without one.

        Raises:
            SettingsError: the family has no such member.
        """
        place = n_particles, interaction_strength, interaction_range
        member = self._run.at(*place, extrapolate=True)
        trainer, system = self._trainers.get(n_particles), member.of_one_system()
        if trainer is None or trainer.zone != contact_zone(system):
            settings = self._override(member.settings)
            trainer = build_trainer(settings, system, member.ansatz)
            self._trainers[n_particles] = trainer
            return trainer
        trainer.ansatz.set_weights(member.ansatz.get_weights())
        trainer.system.assign(interaction_strength, interaction_range)
        return trainer


def wave_functions_of_members(run: Run) -> Callable[[float, float | None], Callable[[Tensor], SignedLog]]:
    """Returns (interaction_strength, interaction_range) -> the wave function of a member.

    It is a function of positions (n_walkers, n_particles), which tell the number of particles. All members share what
    is compiled for one shape of positions.

    Args:
        run: of a family.
    """

    @tf.function(jit_compile=run.settings.training.jit_compile, autograph=False)
    def psi(positions: Tensor, strength: Tensor, width: Tensor) -> SignedLog:
        ansatz = cast(ConditionedAnsatz, run.ansatz)
        return ansatz.psi(positions, ansatz.shifts(positions.shape[1], strength, width))

    def at(strength: float, width: float | None) -> Callable[[Tensor], SignedLog]:
        values, dtype = (strength, defaults.INTERACTION_RANGE if width is None else width), run.ansatz.compute_dtype
        parameters = [tf.constant([[one]], dtype) for one in values]
        return lambda positions: psi(tf.cast(positions, dtype), *parameters)

    return at
