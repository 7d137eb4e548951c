"""Rolling back: the last good state of a training, whether a state is sound, and gentler settings."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_nqs.analysis.conditions import system_name
from tf_nqs.trainer import Trainer
from tf_nqs.training import state

_SHORTER = 0.5
"""A repair makes all later steps this much shorter."""


class Snapshot(NamedTuple):
    """What a rollback gives back: weights, optimiser, natural gradient, walkers, random key, width, reuse of samples.

    Attributes:
        iteration: how many iterations had been done.
        values: name -> value of a variable, see `TrainingState.rolled_back`.
    """

    iteration: int
    values: dict[str, Any]


def take_snapshot(vmc: Trainer) -> Snapshot:
    """Returns the present state of a compiled trainer."""
    return Snapshot(int(vmc.iteration.numpy()), state.values_of(state.state_of(vmc).rolled_back))


def fits(vmc: Trainer, snapshot: Snapshot) -> bool:
    """Returns whether the trainer still has the variables of a snapshot; not after layers were frozen or released."""
    return state.fits(state.state_of(vmc).rolled_back, snapshot.values)


def restore_snapshot(vmc: Trainer, snapshot: Snapshot) -> None:
    """Gives a trainer the state of a snapshot that fits; the numbers of iterations and samplings made go on."""
    state.restore(state.state_of(vmc).rolled_back, snapshot.values)


def state_fault(vmc: Trainer) -> str | None:
    """Returns what is wrong with a trainer's state, as the part of a sentence; None if nothing is."""
    for group in vmc.groups:
        widths = np.ravel(group.proposal_width.numpy())
        wrong = np.flatnonzero(~((widths > 0) & (widths < math.inf)))
        if wrong.size:
            return f"{_name(group, wrong[0])}proposal width of {widths[wrong[0]]:g}"
    checked = state.state_of(vmc).checked
    are_finite = tf.stack([tf.reduce_all(tf.math.is_finite(one.value)) for one in checked.values()]).numpy()
    found = [name for name, is_finite in zip(checked, are_finite, strict=True) if not is_finite]
    return f"{found[0]} not finite" if found else None


def _name(group: Any, index: int) -> str:
    """Names a system of a family for the beginning of a message; empty for a single system."""
    if group.conditions is None:
        return ""
    now = group.conditions.parameters()
    place = group.system.n_particles, float(now.strength[index]), float(now.width[index])
    return f"{system_name(group.system.interaction, *place)}: "


def make_gentler(vmc: Trainer) -> None:
    """Lets a training go on more gently, by other random numbers.

    All later steps are half as long, whatever the optimiser and its learning rate or schedule; a natural gradient's
    damping is raised tenfold, which wears off.
    """
    vmc.step_factor.assign(_SHORTER * vmc.step_factor)
    if vmc.natural_gradient:
        vmc.natural_gradient.raise_damping()
    for group in vmc.groups:
        group.seed.assign(tf.random.experimental.stateless_fold_in(tf.convert_to_tensor(group.seed), 1))
