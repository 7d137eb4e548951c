"""The state of a training: the variables that it consists of, and how their values are kept and given back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import keras
import tensorflow as tf

from tf_nqs.trainer import Trainer
from tf_nqs.types import Tensor


class TrainingState(NamedTuple):
    """The variables of a compiled trainer and its optimiser, by their names in checkpoints.

    Attributes:
        model: name -> variable: the ansatz' weights, walkers, random key, proposal width, step factor, what
            re-weighting and natural gradient remember, and the counts.
        optimizer: number -> variable, of the optimiser.
        record: the numbers of the last call's iterations; every call writes them again.
        counts: names of those that count what was done. A rollback leaves them alone.
        renewed: names of those that the next sampling replaces. They may hold any value: a lost walker is restarted,
            and one without a finite ln|Psi|^2 does not count.
    """

    model: dict[str, keras.Variable]
    optimizer: dict[str, keras.Variable]
    record: keras.Variable
    counts: frozenset[str]
    renewed: frozenset[str]

    @property
    def saved(self) -> dict[str, dict[str, keras.Variable]]:
        """What a checkpoint holds, in its two groups."""
        return {"model": self.model, "optimizer": self.optimizer}

    @property
    def whole(self) -> dict[str, keras.Variable]:
        """Name -> variable of everything."""
        return (
            self.model
            | {f"optimizer/{number}": one for number, one in self.optimizer.items()}
            | {"record": self.record}
        )

    @property
    def rolled_back(self) -> dict[str, keras.Variable]:
        """What a rollback gives back: all but the record and the counts."""
        return {name: one for name, one in self.whole.items() if name != "record" and name not in self.counts}

    @property
    def checked(self) -> dict[str, keras.Variable]:
        """What must be finite, or training cannot go on: numbers of `rolled_back` that no sampling replaces."""
        return {
            name: one for name, one in self.rolled_back.items() if "float" in one.dtype and name not in self.renewed
        }


def state_of(vmc: Trainer) -> TrainingState:
    """Returns the variables of a compiled trainer; call it again after layers were frozen or released."""
    records = (vmc.record, vmc.condition_record)
    model = _by_name(one for one in vmc.variables if not any(one is record for record in records))
    names = {id(variable): name for name, variable in model.items()}
    gradient = vmc.natural_gradient
    samplings = [group.reuse.n_samplings for group in vmc.groups]
    counts = [vmc.iteration, *samplings, *([gradient.n_rejected] if gradient else [])]
    renewed = [one for group in vmc.groups for one in (group.positions, *group.reuse.of_samples)]
    return TrainingState(
        model=model,
        optimizer={str(number): variable for number, variable in enumerate(vmc.optimizer.variables)},
        record=vmc.record,
        counts=frozenset(names[id(variable)] for variable in counts),
        renewed=frozenset(names[id(variable)] for variable in renewed),
    )


def _by_name(variables: Iterable[keras.Variable]) -> dict[str, keras.Variable]:
    """Returns name -> variable, the same names in every process."""
    variables = list(variables)
    # Keras numbers the models of a process: fermion_ansatz_2/orbitals/bias.
    named = {re.sub(r"^(\w+?)(_\d+)?/", r"\1/", variable.path): variable for variable in variables}
    if len(named) < len(variables):
        raise ValueError("two variables of the trainer have the same path")
    return named


def values_of(variables: Mapping[str, keras.Variable]) -> dict[str, Tensor]:
    """Returns name -> value now, a copy."""
    return {name: tf.identity(variable.value) for name, variable in variables.items()}


def fits(variables: Mapping[str, keras.Variable], values: Mapping[str, Tensor]) -> bool:
    """Returns whether variables have the names and the shapes of values."""
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    return shapes == {name: tuple(value.shape) for name, value in values.items()}


def restore(variables: Mapping[str, keras.Variable], values: Mapping[str, Tensor]) -> None:
    """Gives variables the values that fit them."""
    for name, variable in variables.items():
        variable.assign(values[name])
