"""A trainer's own variables: the walkers, the counts, the numbers of the last iterations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tf_nqs.sampling.sample_reuse import SampleLog, SampleReuse
from tf_nqs.training.keras_model import ModelWithoutData
from tf_nqs.training.record import columns_of_last_call, empty_record, with_row
from tf_nqs.training.state import restore, state_of, values_of
from tf_nqs.types import EnergyEstimate, Tensor, WalkerState


class ModelWithWalkers(ModelWithoutData):
    """Holds the part of a training's state that is neither wave function nor optimiser, as Keras variables.

    Attributes:
        positions: the walkers, shape (n_walkers, n_particles), in a_ho.
        seed: their random key.
        proposal_width: of their moves, in a_ho.
        iteration: number of iterations done.
        step_factor: factor on the length of every step; 1 unless the training was repaired.
        record: the numbers of the last call's iterations.
        reuse: what re-weighting remembers.
        needs_burn_in: whether the walkers must burn in before the very first iteration.
    """

    reuse: SampleReuse

    def _add_variables(self, start: WalkerState, iterations_per_call: int) -> None:
        """Adds the variables, with the values that a training starts from."""
        self.positions = self._add_state("positions", start.positions)
        self.seed = self._add_state("seed", start.seed)
        self.proposal_width = self._add_state("proposal_width", start.proposal_width)
        self.iteration = self._add_state("iteration", tf.zeros((), tf.int64))
        self.step_factor = self._add_state("step_factor", tf.ones(()))
        self.record = self._add_state("record", empty_record(iterations_per_call))
        self.needs_burn_in = True

    def _add_state(self, name: str, value: Tensor) -> keras.Variable:
        variable = self.add_weight(
            shape=value.shape, dtype=value.dtype.name, initializer="zeros", trainable=False, name=name
        )
        variable.assign(value)
        return variable

    @property
    def walkers(self) -> WalkerState:
        """Where the Markov chains stand; setting them makes the next iteration draw new samples."""
        return WalkerState(*map(tf.convert_to_tensor, (self.positions, self.seed, self.proposal_width)))

    @walkers.setter
    def walkers(self, state: WalkerState) -> None:
        self.place_walkers(state)

    def place_walkers(self, state: WalkerState, burn_in: bool | None = None) -> None:
        """Puts the walkers elsewhere, as setting `walkers` does; the next iteration draws new samples.

        Args:
            state: where they stand from now on.
            burn_in: whether they must burn in before the very first iteration; None leaves that as it is.
        """
        self._assign_walkers(state)
        self.reuse.forget()
        if burn_in is not None:
            self.needs_burn_in = burn_in

    def _assign_walkers(self, state: WalkerState) -> None:
        for variable, value in zip((self.positions, self.seed, self.proposal_width), state, strict=True):
            variable.assign(value)

    def recent_iterations(self) -> dict[str, np.ndarray]:
        """Returns the columns of the iterations of the last call, in float64."""
        return columns_of_last_call(self.record.numpy())

    def _record(self, index: Tensor, estimate: EnergyEstimate, log: SampleLog) -> None:
        self.iteration.assign_add(1)
        self.record.assign(with_row(self.record, index, self.iteration, estimate, log))

    @contextlib.contextmanager
    def rehearsal(self) -> Iterator[Callable[[], None]]:
        """Undoes, at its end, every training inside the `with` block; yields a function that undoes those so far."""
        values, stop_reason = values_of(state_of(self).whole), self.stop_reason

        def undo() -> None:
            restore(state_of(self).whole, values)
            self.stop_reason = stop_reason

        try:
            yield undo
        finally:
            undo()
