"""The callbacks that freeze layers of the ansatz while training, and release them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from tf_nqs.callbacks.early_stopping import EnergyEarlyStopping
from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.whole_numbers import whole_number

logger = logging.getLogger(__name__)


class _Switch(IterationCallback):
    """Makes layers trainable, or not, once in a training.

    Attributes:
        switched_at: iterations of this `fit` after which it happened; None before.
    """

    _trainable: bool
    _done: str

    def __init__(
        self,
        layers: Iterable[keras.layers.Layer],
        at_iteration: int | None = None,
        early_stopping: EnergyEarlyStopping | None = None,
        when_converged: bool = False,
    ):
        super().__init__()
        if at_iteration is not None:
            at_iteration = whole_number("at_iteration", at_iteration)
        if at_iteration is None and not when_converged:
            raise ValueError("at_iteration = None: must be given, or when_converged be true")
        if when_converged and early_stopping is None:
            raise ValueError("when_converged = True: early_stopping must be given")
        self.layers = list(layers)
        self.at_iteration = at_iteration
        self.call_period = at_iteration or None
        self.early_stopping = early_stopping
        self.when_converged = when_converged
        self.switched_at: int | None = None
        self._n_done = 0

    def begin(self, state: dict[str, Any] | None) -> None:
        self.switched_at, self._n_done = (state["switched_at"], state["n_done"]) if state else (None, 0)
        if self.switched_at is not None:
            self._set()
        elif self.at_iteration == 0:
            self._switch()

    def get_state(self) -> dict[str, Any]:
        return {"switched_at": self.switched_at, "n_done": self._n_done}

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        self._n_done += len(rows["iteration"])
        if self.switched_at is not None:
            return
        # Another callback may have ended training in the same call, for a better reason.
        has_converged = self.when_converged and self.early_stopping and self.early_stopping.has_stopped
        if has_converged and self.model.stop_reason == "early_stopping":
            self.model.continue_training()
            self._switch()
        elif self._n_done == self.at_iteration and not self.model.stop_training:
            self._switch()

    def _set(self) -> None:
        set_trainable(self.layers, self._trainable)
        self.model.follow_trainable()

    def _switch(self) -> None:
        self._set()
        self.switched_at = self._n_done
        if self.early_stopping:
            self.early_stopping.start_anew()
        n_parameters = sum(layer.count_params() for layer in self.layers)
        logger.info(f"{self._done} {n_parameters} parameters after iteration {self._n_done}")


class FreezeLayers(_Switch):
    """Freezes layers of the ansatz: they leave gradient, optimiser slots and natural gradient, and never change.

    By default they are frozen when training begins. Layers that are frozen before `VariationalMonteCarlo.compile`
    (`set_trainable(layers, False)`) are frozen all the same, and nothing is compiled twice.

    Args:
        layers: e.g. `ansatz.equivariant_layers`.
        at_iteration: freeze them after this many iterations of `fit`; 0 for its start, None for only when_converged.
        early_stopping: counts from zero from then on; it comes first in the list of callbacks.
        when_converged: freeze them, too, when early_stopping would end training for the first time; training continues.

    Raises:
        ValueError: at_iteration is negative, nothing says when, or when_converged has no early_stopping.

    Reference: thesis, Sec. 3.2.2.
    """

    _trainable, _done = False, "froze"

    def __init__(
        self,
        layers: Iterable[keras.layers.Layer],
        at_iteration: int | None = 0,
        early_stopping: EnergyEarlyStopping | None = None,
        when_converged: bool = False,
    ):
        super().__init__(layers, at_iteration, early_stopping, when_converged)


class ReleaseLayers(_Switch):
    """Makes frozen layers of the ansatz trainable again in the middle of a training.

    Weights trained before keep their slots in the optimiser; those released start with empty ones, and the schedules
    of learning rate and damping start again, as after a transfer.

    Args:
        layers: e.g. `ansatz.equivariant_layers`.
        at_iteration: release them after this many iterations of `fit`; None for only when_converged.
        early_stopping: counts from zero from then on; it comes first in the list of callbacks.
        when_converged: release them too when early_stopping would end training for the first time; training continues.

    Raises:
        ValueError: at_iteration is negative, nothing says when, or when_converged has no early_stopping.

    Reference: thesis, Sec. 4.1.
    """

    _trainable, _done = True, "released"


def set_trainable(layers: Iterable[keras.layers.Layer], trainable: bool) -> None:
    """Freezes layers, or releases them; a compiled trainer needs `VariationalMonteCarlo.follow_trainable` after it.

    Args:
        layers: layers of the ansatz.
        trainable: False to freeze them.
    """
    for layer in layers:
        layer.trainable = trainable
