"""What settings decide about compiled code."""

from __future__ import annotations

from tf_nqs.config.settings import Settings

_DATA = {"interaction_strength", "interaction_range", "trap_quartic", "trap_separation"}
"""Parameters of the system that are data of compiled functions."""

_SECTIONS = ("ansatz", "sampling", "reweighting")
_OF_TRAINING = ("optimizer", "laplacian", "clip_deviations", "chunk_mebibytes")


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
    system = settings.system.model_dump(exclude=_DATA if settings.system.interaction != "calogero" else None)
    parts = [getattr(settings, section).model_dump() for section in _SECTIONS]
    own = [getattr(training, leaf) for leaf in _OF_TRAINING]
    family = [settings.family.varied(), settings.family.n_conditions] if settings.is_family else None
    return repr([system, *parts, *own, settings.transfer.freeze_equivariant, family])
