"""A trainer's own variables: the walkers, the counts, the numbers of the last iterations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_nqs.execution.agreement import tensors_of_chief
from tf_nqs.execution.replicas import n_processes
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.sampling.sample_reuse import SampleReuse
from tf_nqs.trainer import Phases
from tf_nqs.training.keras_model import ModelWithoutData, in_scope
from tf_nqs.training.record import CONDITION_COLUMNS, columns_of_last_call, empty_record, with_row, with_systems
from tf_nqs.training.state import restore, state_of, values_of
from tf_nqs.training.walker_group import Measured, StartOfGroup, WalkerGroup, mean_log, mean_over_systems
from tf_nqs.types import Tensor, WalkerState


class ModelWithWalkers(ModelWithoutData):
    """Holds the part of a training's state that is neither wave function nor optimiser, as Keras variables.

    Attributes:
        positions: the walkers, shape (n_walkers, n_particles), in a_ho.
        seed: their random key.
        proposal_width: of their moves, in a_ho.
        iteration: number of iterations done.
        step_factor: factor on the length of every step; 1 unless the training was repaired.
        groups: the walkers with each number of particles; those above are the first one's.
        record: the numbers of the last call's iterations.
        condition_record: those of a family's systems; None for one system.
        reuse: what re-weighting remembers.
        needs_burn_in: whether the walkers must burn in before the very first iteration.
    """

    groups: tuple[WalkerGroup, ...]
    other_phases: tuple[Phases, ...]
    natural_gradient: keras.layers.Layer | None
    sampler: SamplerProtocol
    reuse: SampleReuse
    condition_record: keras.Variable | None

    def _add_variables(self, start: WalkerState, iterations_per_call: int) -> None:
        """Adds the variables, with the values that a training starts from."""
        self.positions, self.seed, self.proposal_width = self._add_walkers("", start)
        self.iteration = self._add_state("iteration", tf.zeros((), tf.int64))
        self.step_factor = self._add_state("step_factor", tf.ones(()))
        self.record = self._add_state("record", empty_record(iterations_per_call))
        self.needs_burn_in = True

    def _add_groups(self, systems: Sequence[TrappedFermions], starts: Sequence[StartOfGroup]) -> None:
        """Makes the groups of walkers, after `_add_variables` and `reuse`; those above are the first group's."""
        self.condition_record, groups = None, []
        self.of_conditions = [start.conditions for start in starts if start.conditions is not None]
        self.other_reuse = [
            SampleReuse(
                self.reuse.policy, self.sampler, dtype=self.dtype_policy, name=f"reuse_of_{one.n_particles}_particles"
            )
            for one in systems[1:]
        ]
        for system, start, reuse in zip(systems, starts, [self.reuse, *self.other_reuse], strict=True):
            is_first = reuse is self.reuse
            own = [self.positions, self.seed, self.proposal_width]
            variables = own if is_first else self._add_walkers(f"_of_{system.n_particles}_particles", start.walkers)
            positions, seed, width = variables
            groups.append(WalkerGroup(system, start.conditions, positions, seed, width, reuse))
        self.groups = tuple(groups)
        if n_systems := sum(one.n_conditions for one in self.of_conditions):
            shape = (self.record.shape[0], n_systems, len(CONDITION_COLUMNS))
            self.condition_record = self._add_state("condition_record", tf.zeros(shape, tf.float64))

    def _add_walkers(self, suffix: str, start: WalkerState) -> list[keras.Variable]:
        """Adds the variables of walkers; those of the first group have no suffix in their names."""
        return [self._add_state(name + suffix, value) for name, value in start._asdict().items()]

    def _add_state(self, name: str, value: Tensor) -> keras.Variable:
        variable = self.add_weight(
            shape=value.shape, dtype=value.dtype.name, initializer="zeros", trainable=False, name=name
        )
        variable.assign(value)
        return variable

    @property
    def walkers(self) -> WalkerState:
        """Where the Markov chains stand, of a family those with the fewest particles.

        Setting them makes the next iteration draw new samples.
        """
        return WalkerState(*map(tf.convert_to_tensor, (self.positions, self.seed, self.proposal_width)))

    @walkers.setter
    def walkers(self, state: WalkerState) -> None:
        self.place_walkers(state)

    @in_scope
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

    @property
    def n_walkers_in_all(self) -> int:
        """Number of walkers, with all numbers of particles together."""
        return len(self.groups) * self.sampler.n_walkers

    @property
    def all_phases(self) -> list[Phases]:
        """The phases of the walkers with each number of particles; one for a single system."""
        return [self.phases, *self.other_phases]

    @all_phases.setter
    def all_phases(self, phases: Sequence[Phases]) -> None:
        self.phases, self.other_phases = phases[0], tuple(phases[1:])

    def recent_iterations(self) -> dict[str, np.ndarray]:
        """Returns the columns of the iterations of the last call, in float64."""
        return columns_of_last_call(self.record.numpy())

    def recent_conditions(self) -> dict[str, np.ndarray]:
        """Returns the columns of a family's systems in the last call, shape (n_iterations, n_systems) each.

        The range of an interaction that has none is nan.

        Raises:
            ValueError: this is the training of one system.
        """
        if self.condition_record is None:
            raise ValueError("recent_conditions: this is the training of one system, it has no conditions")
        rows = self.condition_record.numpy()[: len(self.recent_iterations()["iteration"])]
        columns = dict(zip(CONDITION_COLUMNS, np.moveaxis(rows, 2, 0), strict=True))
        if not self.of_conditions[0].family.has_range:
            columns["interaction_range"] = np.full_like(columns["interaction_range"], np.nan)
        return columns

    def _record(self, index: Tensor, measured: list[Measured]) -> None:
        """Writes the numbers of an iteration, and moves the systems of a family on."""
        estimates = [group.estimates(one) for group, one in zip(self.groups, measured, strict=True)]
        estimate = self.reuse.with_error(mean_over_systems(estimates))
        self.iteration.assign_add(1)
        log = mean_log([one.log for one in measured])
        self.record.assign(with_row(self.record, index, self.iteration, estimate, log))
        if self.condition_record is not None:
            conditions = [group.conditions for group in self.groups if group.conditions is not None]
            systems = [(one.n_particles, one.parameters()) for one in conditions]
            self.condition_record.assign(with_systems(self.condition_record, index, systems, estimates))
            for one in conditions:
                one.drift(self.iteration)

    def _take_numbers_of_chief(self) -> None:
        """Gives all processes the same record, weights and optimiser, to the last bit; one message.

        On unlike machines sums are rounded differently, and the solve of a natural gradient makes more of it. Callbacks
        decide by the record; weights that differ would drift apart, unseen in a record that is the chief's.
        """
        if n_processes() == 1:
            return
        records = [one for one in (self.record, self.condition_record) if one is not None]
        variables = [*records, *state_of(self).checked.values()]
        numbers = tensors_of_chief([tf.convert_to_tensor(one) for one in variables])
        for variable, own in zip(variables, numbers, strict=True):
            variable.assign(own)

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
