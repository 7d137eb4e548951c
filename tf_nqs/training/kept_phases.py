"""A trainer's traced functions on disk: the next process with a trainer of the same shape need not trace them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_nqs.execution.compilation import warm_up
from tf_nqs.execution.kept_graphs import KeptFunction, KeptGraphs
from tf_nqs.training.keras_callbacks import LOGS
from tf_nqs.training.phases import calls_of_phases
from tf_nqs.training.record import COLUMNS
from tf_nqs.training.walker_model import ModelWithWalkers
from tf_nqs.types import LocalEnergy, Tensor, WalkerState

_STEP = "train_step"

_RESULTS: dict[str, Any] = {
    "sample": (WalkerState(0, 0, 0), 0),
    "local_energy": LocalEnergy(0, 0, 0),
    "log_abs_psi": 0,
    _STEP: {"loss": 0} | {name: 0 for name in LOGS if name in COLUMNS},
}
"""Structure of what a function returns."""


class _KeptPhase:
    """A phase that need not be traced for the arguments that it is kept for.

    Args:
        phase: called with others.
        kept: the functions.
        result: structure of what they return.
    """

    def __init__(self, phase: Callable, kept: list[KeptFunction], result: Any):
        self._phase, self._result = phase, result
        self._kept = {_kinds(one.arguments): one for one in kept}

    def __call__(self, *arguments: Any) -> Any:
        tensors = [tf.convert_to_tensor(one) for one in tf.nest.flatten(arguments)]
        kept = self._kept.get(_kinds((one.dtype.name, one.shape) for one in tensors))
        if kept is None:
            return self._phase(*arguments)
        return tf.nest.pack_sequence_as(self._result, kept(*tensors))


def _kinds(arguments: Any) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((dtype, tuple(shape)) for dtype, shape in arguments)


class KeptPhases:
    """The functions of a trainer that a file has, or will have.

    Args:
        vmc: the trainer, compiled; nothing of it is traced yet.
        path: of the file.
    """

    def __init__(self, vmc: ModelWithWalkers, path: Path):
        self._vmc, self._calls = vmc, calls_of_phases(vmc)
        self._found: list[KeptFunction] = []
        self._graphs = KeptGraphs(path, _variables(vmc))

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[tuple[Callable, tuple[Tensor, ...]]]:
        """Yields functions in the place of the trainer's phases, with arguments; traces those that it does not have."""
        for number, call in enumerate(self._calls):
            trace = tf.function(call.phase, autograph=False).get_concrete_function
            kept = self._graphs.function(str(number), lambda: trace(*call.arguments))  # noqa: B023 (called at once)
            self._found.append(kept)
            yield kept, tuple(tf.nest.flatten(call.arguments))

    def step(self) -> tuple[Callable, tuple[Tensor, ...]]:
        """Returns what a call of `fit` runs, and its argument for a call of no iterations."""
        none = tf.constant(0)
        self._step = self._graphs.function(_STEP, lambda: self._vmc.traced_step(none))
        return self._step, (none,)

    def use(self) -> None:
        """Lets the trainer call these functions, once all are made, and writes the file, where that is possible."""
        phases = list(self._vmc.all_phases)
        for group, name in {call[:2] for call in self._calls}:
            own = [one for one, call in zip(self._found, self._calls, strict=True) if (group, name) == call[:2]]
            result = _RESULTS[name] if name in _RESULTS else self._derivatives(own[0])
            phase = _KeptPhase(getattr(phases[group], name), own, result)
            phases[group] = replace(phases[group], **{name: phase})
        self._vmc.all_phases = phases
        self._vmc.use_step(_KeptPhase(self._vmc.train_step, [self._step], _RESULTS[_STEP]))
        with contextlib.suppress(OSError):
            self._graphs.write()

    def _derivatives(self, kept: KeptFunction) -> Any:
        """Structure of the derivatives: a matrix for a natural gradient, else one tensor for each weight."""
        return 0 if self._vmc.natural_gradient else list(range(len(kept.function.outputs)))


def warm_up_trainer(vmc: ModelWithWalkers, meanwhile: Callable[[], object], graphs: Path | None) -> None:
    """Traces and compiles what the iterations of a trainer call, see `VariationalMonteCarlo.warm_up`.

    Args:
        vmc: the trainer, compiled.
        meanwhile: called during the last compilations.
        graphs: file of traced functions; None for none.
    """
    if graphs is None or vmc.run_eagerly or vmc.strategy:
        warm_up([(call.phase, call.arguments) for call in calls_of_phases(vmc)], vmc.step_of_none, meanwhile)
        return
    kept = KeptPhases(vmc, graphs)
    warm_up(kept, kept.step, meanwhile)
    kept.use()


def _variables(vmc: ModelWithWalkers) -> list[tf.Variable]:
    """All variables that a trainer's functions may use, in an order that depends on its shape alone."""
    more = vmc.natural_gradient.variables if vmc.natural_gradient else []
    own = [variable.value for variable in (*vmc.variables, *vmc.optimizer.variables, *more)]
    return [*own, *(parameter for group in vmc.groups for parameter in group.system.parameters)]
