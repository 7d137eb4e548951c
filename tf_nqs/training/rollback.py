"""Going back: the whole state of a training at one moment, whether it is sound, and gentler settings."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_nqs.storage.checkpoints import model_variables, optimizer_variables

_SHORTER = 0.5
"""A repair makes all later steps this much shorter."""


class Snapshot(NamedTuple):
    """The state of a training: weights, optimiser, natural gradient, walkers, random key, width, reuse of samples.

    Attributes:
        iteration: how many iterations had been done.
        values: name -> value of a variable.
    """

    iteration: int
    values: dict[str, Any]


def take_snapshot(vmc: keras.Model) -> Snapshot:
    """Returns the present state of a compiled `VariationalMonteCarlo`."""
    values = {name: tf.identity(variable.value) for name, variable in _restorable(vmc).items()}
    return Snapshot(int(vmc.iteration), values)


def fits(vmc: keras.Model, snapshot: Snapshot) -> bool:
    """Whether the trainer has the variables of a snapshot still; not after layers were frozen or released."""
    shapes = {name: tuple(variable.shape) for name, variable in _restorable(vmc).items()}
    return shapes == {name: tuple(value.shape) for name, value in snapshot.values.items()}


def restore_snapshot(vmc: keras.Model, snapshot: Snapshot) -> None:
    """Gives a trainer the state of a snapshot that fits; the numbers of iterations and samplings made go on."""
    for name, variable in _restorable(vmc).items():
        variable.assign(snapshot.values[name])


def state_fault(vmc: keras.Model) -> str | None:
    """Returns what is wrong with a trainer's state, as the part of a sentence; None if nothing is.

    Single walkers may be anywhere, or nowhere: the next sampling restarts those that are lost. What re-weighting knows
    of the samples at hand may be anything too: a walker without a finite ln|Psi|^2 counts nothing, and the next
    sampling replaces all of it.
    """
    width = float(vmc.proposal_width)
    if not 0 < width < math.inf:
        return f"proposal width of {width:g}"
    renewed = (vmc.positions, *vmc.reuse.of_samples)
    floats = {
        name: variable.value
        for name, variable in _restorable(vmc).items()
        if "float" in variable.dtype and not any(variable is one for one in renewed)
    }
    are_finite = tf.stack([tf.reduce_all(tf.math.is_finite(value)) for value in floats.values()]).numpy()
    found = [name for name, is_finite in zip(floats, are_finite, strict=True) if not is_finite]
    return f"{found[0]} not finite" if found else None


def make_gentler(vmc: keras.Model) -> None:
    """Lets a training go on more gently, by other random numbers.

    All later steps are half as long, whatever the optimiser and its learning rate or schedule; a natural gradient's
    damping is raised tenfold, which wears off.
    """
    vmc.step_factor.assign(_SHORTER * vmc.step_factor)
    if vmc.natural_gradient:
        vmc.natural_gradient.raise_damping()
    vmc.seed.assign(tf.random.experimental.stateless_fold_in(tf.convert_to_tensor(vmc.seed), 1))


def _restorable(vmc: keras.Model) -> dict[str, keras.Variable]:
    """Name -> variable of all that a rollback gives back: everything but the counts of what was done."""
    gradient = vmc.natural_gradient
    counts = [vmc.iteration, vmc.reuse.n_samplings, *([gradient.n_rejected] if gradient else [])]
    slots = {f"optimizer/{number}": variable for number, variable in optimizer_variables(vmc).items()}
    named = model_variables(vmc) | slots
    return {name: variable for name, variable in named.items() if not any(variable is one for one in counts)}
