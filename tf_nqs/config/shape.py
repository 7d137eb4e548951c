"""What settings decide about compiled code."""

from __future__ import annotations

from typing import Any

from tf_nqs.config.settings import Settings

_DATA = {"interaction_strength", "interaction_range", "pair_stiffness", "trap_quartic", "trap_separation"}
"""Parameters of the system that are data of compiled functions."""

_SECTIONS = ("ansatz", "sampling", "reweighting")
_OF_TRAINING = ("optimizer", "laplacian", "clip_deviations", "chunk_mebibytes")

_NOT_TRACED = {"iterations", "iterations_per_call", "max_seconds", "max_repairs", "pretrain_iterations"}
"""Settings of the training that no function of a trainer depends on, but for the smaller one of the first two."""


def compiled_shape(settings: Settings) -> str | None:
    """Returns a text that is the same for runs that mostly compile the same functions.

    It only groups what is kept for later runs: whether a function is the same is decided by TensorFlow.

    Args:
        settings: all settings of a run.

    Returns:
        The text; None for a run that keeps nothing.
    """
    training = settings.training
    is_spread = settings.distribution.strategy != "none"  # the device is a part of what is compiled for it
    if is_spread or not (training.compilation_cache and training.jit_compile):
        return None
    return repr(_parts(settings))


def measured_shape(settings: Settings) -> str:
    """Returns a text that is the same for runs whose wave functions one compiled trainer can measure.

    They differ only in weights, in the data of the system, and in what no compiled function of a measurement depends
    on. Besides, their systems must have the same `tf_nqs.physics.contact_zone`.

    Args:
        settings: all settings of a run of a single system.
    """
    sizes = settings.ansatz.resolved(settings.system)  # some have defaults that depend on the system's data
    return repr([_parts(settings), sorted(sizes.items()), settings.training.jit_compile])


def traced_shape(settings: Settings) -> str | None:
    """Returns a text that is the same for runs whose trainers trace the same functions, if their contact zones agree.

    Args:
        settings: all settings of a run.

    Returns:
        The text; None where the user's own code is traced, which may change.
    """
    if any(":" in name for name in (settings.ansatz.ansatz, settings.system.interaction)):
        return None
    training = settings.training.model_dump(exclude=_NOT_TRACED)
    n_rows = min(settings.training.iterations_per_call, settings.training.iterations)
    own = [settings.system, settings.family, settings.run.seed] if settings.is_family else []
    return repr([measured_shape(settings), training, settings.recipe(), n_rows, own])


def _parts(settings: Settings) -> list[Any]:
    """What compiled functions depend on."""
    system = settings.system
    # The strength of calogero is an exponent of the wave function; a kappa r^2/2 is there or not.
    data = _DATA - {"interaction_strength"} if system.interaction == "calogero" else _DATA
    has_stiffness = system.interaction == "harmonic" or system.pair_stiffness != 0
    parts = [getattr(settings, section).model_dump() for section in _SECTIONS]
    own = [getattr(settings.training, leaf) for leaf in _OF_TRAINING]
    family = [settings.family.varied(), settings.family.n_conditions] if settings.is_family else None
    return [
        system.model_dump(exclude=data),
        has_stiffness,
        *parts,
        *own,
        settings.transfer.freeze_equivariant,
        family,
    ]
