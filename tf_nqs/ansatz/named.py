"""Wave functions by name: those of the package, and Keras models of the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from tf_nqs.ansatz.check import brief_name, check_wave_function, prepare_ansatz
from tf_nqs.ansatz.fermion import FermionAnsatz
from tf_nqs.ansatz.jastrow import JastrowAnsatz
from tf_nqs.named_ansatze import ALL_SIZES, ANSATZE, no_such_size
from tf_nqs.physics.conditions import ConditionSpace
from tf_nqs.physics.oscillator import sample_free_fermions
from tf_nqs.runtime.imported import imported

_CLASSES = {"slater": FermionAnsatz, "jastrow": JastrowAnsatz}

_ARGUMENTS = {"pair_length": "length"}
"""Size -> the argument of a constructor, where that is named otherwise."""

_CHECKED_WALKERS, _CHECK_SEED = 128, (0, 9)


def named_ansatz(
    ansatz: str,
    n_particles: int,
    dtype: str,
    contact_exponent: float,
    sizes: Mapping[str, Any],
    conditions: ConditionSpace | None = None,
) -> keras.Model:
    """Returns a wave function by its name; its start values come from Keras' global random state.

    Args:
        ansatz: one of `ANSATZE`, or `module:Class`: a Keras model that is imported and checked on some walkers.
        n_particles: number of fermions A.
        dtype: "float32" or "float64".
        contact_exponent: l of the system's ground state; given to constructors that take it.
        sizes: size -> its value, None for the default of the constructor.
        conditions: the systems of a family; None for one system.

    Raises:
        ValueError: the class cannot be imported, cannot be made of these arguments, or is no wave function of fermions;
            one line.
    """
    kind = _CLASSES.get(ansatz) or _own_class(ansatz)
    taken = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {"contact_exponent": contact_exponent} if "contact_exponent" in taken else {}
    for leaf in ALL_SIZES:
        if sizes.get(leaf) is None:
            continue
        if (argument := _ARGUMENTS.get(leaf, leaf)) not in taken:
            raise no_such_size(ansatz, leaf, sizes[leaf])
        arguments[argument] = sizes[leaf]
    if ansatz in ANSATZE:
        return kind(n_particles=n_particles, dtype=dtype, conditions=conditions, **arguments)
    try:
        model = kind(n_particles=n_particles, dtype=dtype, **arguments)
        prepare_ansatz(model, n_particles)
        walkers = sample_free_fermions(_CHECK_SEED, _CHECKED_WALKERS, n_particles, dtype)
        check_wave_function(model, walkers, at_start=True)
    except Exception as error:  # whatever the class of the user raises
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"ansatz = {ansatz!r}: cannot be used ({reason}); must be a wave function of fermions"
        ) from error
    return model


def kind_of(ansatz: object) -> str:
    """Returns the name of a wave function's kind, whose defaults suit it: slater for one of the user's own.

    Args:
        ansatz: the wave function.
    """
    return next((name for name, kind in _CLASSES.items() if isinstance(ansatz, kind)), "slater")


def _own_class(name: str) -> type[keras.Model]:
    """Returns the Keras model that `module:Class` names."""
    found = imported("ansatz", name, f"one of {', '.join(ANSATZE)}, or module:Class")
    if not (isinstance(found, type) and issubclass(found, keras.Model)):
        what = f"{brief_name(found)} is not a Keras model"
        raise ValueError(f"ansatz = {name!r}: {what}; must be a subclass of keras.Model, positions -> (sign, ln|Psi|)")
    return found
