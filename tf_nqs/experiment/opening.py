"""The first lines that a run prints."""

from __future__ import annotations

import math

import keras

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.words import REFERENCE_WORDS
from tf_nqs.ansatz.protocol import HasOrbitals
from tf_nqs.config import Settings
from tf_nqs.exact import LARGEST_DIAGONALISED, Reference, critical_strength
from tf_nqs.experiment.memory import in_words, own_bytes, sizes_of
from tf_nqs.experiment.share import Share
from tf_nqs.storage.run_folder import RunFolder

_EXACT = 5e-7
"""An uncertainty below it does not show in six decimals."""

_MANY_PARTICLES = 8
"""From here on ln|Psi| of random start weights loses digits in float32."""


_UNCOMPUTED = {
    "none": "no reference, as reference = none",
    "diffusion": "the reference energy is computed by diffusion after the training",
}
"""Setting `reference` -> why there is none at the start of a run."""


def reference_line(reference: Reference, settings: Settings | None = None) -> str:
    """Returns the line about a reference for the terminal; with the settings also the reason why there is none."""
    if reference.energy is None:
        wanted = settings.evaluation.reference if settings is not None else "exact"
        if wanted in _UNCOMPUTED:
            return _UNCOMPUTED[wanted]
        has_trap = settings is not None and settings.system.has_trap and wanted == "auto"
        hint = "; python -m tf_nqs.diffuse computes one for a finished run" if has_trap else ""
        is_gaussian = settings is not None and settings.system.gaussian() and settings.system.trap == "harmonic"
        if settings and is_gaussian and settings.system.n_particles > LARGEST_DIAGONALISED:
            n_particles = settings.system.n_particles
            return f"no exact reference for n_particles = {n_particles}: up to {LARGEST_DIAGONALISED} only{hint}"
        return f"no exact reference for this system{hint}"
    words = REFERENCE_WORDS.get(reference.kind, reference.kind)
    if not reference.uncertainty or reference.uncertainty < _EXACT:
        return f"reference energy {reference.energy:.6f} ({words}, exact)"
    return f"reference energy {format_with_error(reference.energy, reference.uncertainty)} ({words})"


def opening_lines(settings: Settings, ansatz: keras.Model, folder: RunFolder) -> list[str]:
    """Returns the first lines of a run for the terminal.

    Args:
        settings: all settings.
        ansatz: the wave function.
        folder: of the run.
    """
    system = settings.system
    what = f"a family of systems, {settings.title()}" if settings.is_family else f"{system.n_particles} fermions"
    lines = [f"{what}, {ansatz.count_params()} parameters; results go to {folder.path}"]
    in_float32 = isinstance(ansatz, HasOrbitals) and settings.ansatz.dtype == "float32"
    if in_float32 and system.n_particles >= _MANY_PARTICLES:
        lines.append("the Slater matrices of this many particles are nearly singular: consider --dtype=float64")
    if not system.has_trap:
        internal = "without a trap the energy is that of the internal motion, as the centre of mass moves freely"
        gaussian = system.gaussian()
        critical = critical_strength(gaussian["interaction_range"]) if gaussian else math.nan
        binds = f"; two fermions are bound below interaction_strength = {critical:.4g} at this range"
        lines.append(internal + (binds if gaussian else ""))
    return lines


def spread_line(settings: Settings, share: Share) -> str:
    """Returns the line about a run on several devices: how many walkers each has, and how much memory is needed.

    Args:
        settings: all settings.
        share: of this process, with the devices that there are.
    """
    sizes = sizes_of(settings, share)
    per_worker, per_device = own_bytes(sizes)
    n_workers, each = share.n_replicas // share.n_own, sizes.n_walkers // share.n_replicas
    workers = f" of {n_workers} workers" if n_workers > 1 else ""
    return (
        f"{share.n_replicas} devices{workers}, {each} walkers on each; needs about {in_words(per_worker)} of memory"
        f"{' per worker' if workers else ''}, of which {in_words(per_device)} per device"
    )
