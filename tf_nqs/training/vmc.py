"""Variational Monte Carlo as a Keras model: `compile`, `fit`, `evaluate`."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras.callbacks import History

from tf_nqs import defaults
from tf_nqs.analysis.statistics import SampledMean
from tf_nqs.ansatz.check import check_wave_function
from tf_nqs.ansatz.derivatives import choose_laplacian
from tf_nqs.execution.compilation import explained_xla_failures
from tf_nqs.measurement.energy import EnergyMeasurement
from tf_nqs.measurement.evaluation import evaluate_energy
from tf_nqs.measurement.walker_rows import refuse_infinite_potential
from tf_nqs.physics.contact_zone import contact_zone
from tf_nqs.physics.energy import clip_local_energy
from tf_nqs.physics.family import FermionFamily
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling import MetropolisHastings, ReusePolicy, SamplerProtocol
from tf_nqs.sampling.near_pairs import WeightedPositions, clip_influence, with_near_pairs
from tf_nqs.sampling.sample_reuse import SampleReuse
from tf_nqs.trainer import Batch, Compilation, Phases
from tf_nqs.training.clipping import Clipping, doubling_iterations_for
from tf_nqs.training.conditions import ConditionPolicy
from tf_nqs.training.freezing import follow_trainable, identities
from tf_nqs.training.gradients import Gradient, make_gradient
from tf_nqs.training.iterations import call_lengths
from tf_nqs.training.kept_phases import warm_up_trainer
from tf_nqs.training.keras_arguments import checked_verbose, refuse_keras_arguments
from tf_nqs.training.keras_callbacks import LOGS, IterationProgress, check_callbacks, flat_callbacks
from tf_nqs.training.keras_model import in_scope
from tf_nqs.training.natural_gradient import NaturalGradient
from tf_nqs.training.parts import check_parts
from tf_nqs.training.phases import make_phases
from tf_nqs.training.record import COLUMNS
from tf_nqs.training.updates import build_optimizer, checked_optimizer
from tf_nqs.training.walker_group import factors_of, walkers_of_family
from tf_nqs.training.walker_model import ModelWithWalkers
from tf_nqs.types import Tensor
from tf_nqs.whole_numbers import whole_number


class VariationalMonteCarlo(ModelWithWalkers):
    """Minimises the energy of a wave function by sampling it.

    The ansatz is one Keras model, this trainer another that holds what training needs besides: the walkers, their
    random key, the proposal width, what re-weighting must remember. All of it is Keras state, so checkpoints hold it
    too.

    Sampling, local energy and gradient are compiled by XLA; between them the step stays in one TensorFlow graph,
    `iterations_per_call` iterations at a time.

    Args:
        ansatz: Keras model, positions (n_walkers, n_particles) -> SignedLog, antisymmetric. If it has
            `forward_laplacian`, the derivatives can be carried forward through its layers. It is called once if its
            layers build at their first call.
        system: the Hamiltonian, or a family of them, which the ansatz' `conditions` must be made for.
        sampler: how |Psi|^2 is sampled, see `tf_nqs.sampling.SamplerProtocol`; None for `MetropolisHastings()`. Of a
            family its walkers belong to one number of particles, and there are as many for each.
        sampling_dtype: of sampling, "float32" or "float64"; "ansatz" for the ansatz' own. float32 beside a float64
            ansatz is faster; the ansatz is then built once more, so it needs `get_config`.
        reuse: when an iteration draws new samples, and when it re-weights the current ones; None for new ones always.
        laplacian: "forward" (needs `ansatz.forward_laplacian`), "nested" (GradientTapes, any ansatz), or "auto":
            forward where the ansatz has it.
        clip_deviations: the gradient's local energies are cut at this many mean absolute deviations from their
            median; 0 for no clipping.
        clip_doubling_iterations: iterations in which these deviations double; 0 for always the same; None for what
            suits the ansatz: 100 for a `JastrowAnsatz` of one system, else 50.
        iterations_per_call: iterations that run without leaving TensorFlow; changes speed, not results.
        seed: of the walkers.
        conditions: how many systems of a family are trained at the same time; None for the default.
        **kwargs: arguments of `keras.Model` (name).

    Raises:
        TypeError: ansatz is no Keras model, or sampler no sampler.
        ValueError: an argument is out of its range, laplacian is "forward" for an ansatz that has none, the ansatz
            computes in another dtype than float32 or float64, or ansatz and system have different numbers of particles.

    Example:
        >>> vmc = VariationalMonteCarlo(tf_nqs.FermionAnsatz(2), TrappedFermions(2, interaction_strength=10.0))
        >>> vmc.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=False)
        >>> history = vmc.fit(iterations=20)
        >>> measured = vmc.evaluate_energy(target_error=0.1)

    Reference: thesis, Secs. 2.3.2 and 2.3.3.
    """

    def __init__(
        self,
        ansatz: keras.Model,
        system: TrappedFermions | FermionFamily,
        sampler: SamplerProtocol | None = None,
        sampling_dtype: str = defaults.SAMPLING_DTYPE,
        reuse: ReusePolicy | None = None,
        laplacian: str = defaults.LAPLACIAN,
        clip_deviations: float = defaults.CLIP_DEVIATIONS,
        clip_doubling_iterations: int | None = None,
        iterations_per_call: int = defaults.ITERATIONS_PER_CALL,
        seed: int = defaults.SEED,
        conditions: ConditionPolicy | None = None,
        **kwargs: Any,
    ):
        family = system if isinstance(system, FermionFamily) else None
        systems = (system,) if isinstance(system, TrappedFermions) else system.systems
        for one in systems:
            check_parts(ansatz, one, sampler, family)
        policy = ansatz.dtype_policy
        super().__init__(dtype=policy, **kwargs)
        self.ansatz = ansatz
        self.family = family
        self.system = system = systems[0]
        self.sampler = sampler or MetropolisHastings()
        self.zone = contact_zone(system)
        doubling = doubling_iterations_for(ansatz, family is not None, clip_doubling_iterations)
        self.clip = Clipping(clip_deviations, doubling, clip_influence if self.zone else clip_local_energy)
        self.iterations_per_call = whole_number("iterations_per_call", iterations_per_call, 1)
        self.sampling_dtype = sampling_dtype
        self.laplacian = choose_laplacian(ansatz, laplacian, system.n_particles)
        starts = [walkers_of_family(self.sampler, one, family, conditions, seed, policy) for one in systems]
        self._add_variables(starts[0].walkers, self.iterations_per_call)
        self.reuse = SampleReuse(reuse or ReusePolicy(), self.sampler, dtype=policy)
        self._add_groups(systems, starts)
        self.built = True

    @in_scope
    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer,
        natural_gradient: NaturalGradient | None = None,
        jit_compile: bool = defaults.JIT_COMPILE,
        chunk_mebibytes: float = defaults.CHUNK_MEBIBYTES,
        **kwargs: Any,
    ) -> None:
        """Sets the optimiser, and compiles the phases of an iteration at their first use.

        Args:
            optimizer: a Keras optimiser, or its name; its options act as in Keras' own `fit`. Beside a natural
                gradient it must be plain `keras.optimizers.SGD(learning_rate)`.
            natural_gradient: what turns the energy's gradient into a natural one; None for the plain gradient.
            jit_compile: whether XLA compiles sampling, local energy and gradient; False for a custom layer with
                operations that XLA lacks.
            chunk_mebibytes: local energy and gradients take as many walkers at a time as fit in this
                much memory, in MiB, beside what they return.
            **kwargs: run_eagerly of `keras.Model.compile`; its others are refused.

        Raises:
            ValueError: chunk_mebibytes is not above 0, the ansatz cannot be built in sampling_dtype, or the optimiser
                is not supported (LossScaleOptimizer, MultiOptimizer, ScheduleFreeAdamW) or, beside a natural
                gradient, not plain SGD.
            TypeError: an argument of Keras' `compile` that this one does not have, such as loss.
        """
        refuse_keras_arguments("compile", (name for name in kwargs if name != "run_eagerly"))
        optimizer = checked_optimizer(optimizer, natural_gradient)
        super().compile(optimizer=optimizer, jit_compile=False, **kwargs)
        build_optimizer(self.optimizer, self.ansatz.trainable_variables)
        self.compilation = Compilation(jit_compile, chunk_mebibytes)
        self.all_phases = self._phases(self._gradient(natural_gradient))
        self.natural_gradient = natural_gradient
        if natural_gradient:
            n_parameters = sum(math.prod(weight.shape) for weight in self.ansatz.trainable_variables)
            natural_gradient.build(n_parameters, self.compute_dtype)
        self.trained = identities(self.ansatz.trainable_variables)
        self.seconds_compile = 0.0

    def _phases(self, gradient: Gradient) -> list[Phases]:
        """The phases of the walkers with each number of particles."""
        how = self.sampler, self.laplacian, self.sampling_dtype, self.compilation, gradient
        return [make_phases(self.ansatz, group.system, *how, group.conditions) for group in self.groups]

    def _gradient(self, layer: NaturalGradient | None) -> Gradient:
        """The plain gradient, or the natural one that a layer makes, by the weights that are trainable now."""
        return make_gradient(self.ansatz, self.optimizer, self.step_factor, layer, self.compilation)

    def follow_trainable(self) -> None:
        """Continues with the ansatz' weights that are trainable now, after layers of it were frozen or released.

        See `tf_nqs.training.freezing`. Derivatives are compiled again when next used; sampling and local energy do not
        change. It may be called in the middle of `fit`, between two calls.

        Raises:
            ValueError: no weights are trainable.
            RuntimeError: `compile` was not called.
        """
        self._check_compiled()
        optimizer = follow_trainable(self.ansatz, self.trained, self.optimizer, self.natural_gradient)
        if optimizer is self.optimizer:
            return
        self.optimizer = optimizer
        gradient = self._gradient(self.natural_gradient)
        self.all_phases = [
            replace(phases, derivatives=gradient.derivatives_of(group.conditions), update=gradient.update)
            for phases, group in zip(self.all_phases, self.groups, strict=True)
        ]
        self.trained = identities(self.ansatz.trainable_variables)
        self.make_train_function(force=True)

    @in_scope
    def warm_up(self, meanwhile: Callable[[], object] = lambda: None, graphs: Path | None = None) -> None:
        """Traces and compiles everything that `fit` needs; changes no state.

        Args:
            meanwhile: called during the last compilations.
            graphs: file of what an equal trainer has traced, read or else written, not checked; None for none.
        """
        started = time.monotonic()
        check_wave_function(self.ansatz, self.positions, at_start=self.iteration.numpy() == 0)
        with explained_xla_failures(self.ansatz):
            warm_up_trainer(self, meanwhile, graphs)
        self.seconds_compile = time.monotonic() - started

    def train_step(self, n_iterations: Tensor) -> dict[str, Tensor]:
        """Runs iterations: sample, local energy, clipped and weighted gradient, update.

        Args:
            n_iterations: how many, at most `iterations_per_call`.

        Returns:
            Means over these iterations of what Keras' callbacks may monitor.
        """
        groups = list(zip(self.groups, self.all_phases, strict=True))

        def iterate(index: Tensor) -> list[Tensor]:
            clip = partial(self.clip, iteration=self.iteration)
            near_pairs = partial(self.with_near_pairs, number=self.iteration)
            measured = [group.measured(phases, self.sampler.adapt, near_pairs, clip) for group, phases in groups]
            factors = factors_of(self.groups, measured)
            batches = []
            for one, factor, (_, phases) in zip(measured, factors, groups, strict=True):
                derivatives = phases.derivatives(one.positions, one.clipped, one.weights, *factor)
                batches.append(Batch(derivatives, one.clipped, one.weights, *factor))
            self.phases.update(batches)
            for group, one in zip(self.groups, measured, strict=True):
                group.assign(one.walkers)
            self._record(index, measured)
            return [index + 1]

        tf.while_loop(lambda index: index < n_iterations, iterate, [tf.zeros((), n_iterations.dtype)])
        self._take_numbers_of_chief()
        means = tf.reduce_mean(self.record[: tf.maximum(n_iterations, 1)], axis=0)  # that of no row is NaN
        logs = {name: means[COLUMNS.index(name)] for name in LOGS if name in COLUMNS}
        return {"loss": logs["energy"], **logs}

    @in_scope
    def fit(
        self, iterations: int | None = None, callbacks: Any = None, done: int = 0, verbose: Any = 0, **kwargs: Any
    ) -> History:
        """Trains for a number of iterations; walkers burn in before the very first one.

        To Keras' callbacks an epoch is one call of up to `iterations_per_call` iterations (a call also ends at every
        multiple of a callback's `call_period`, and with the last iteration), and a call is one batch. So
        `EarlyStopping(patience=5)` waits for five calls, and `LearningRateScheduler` is asked once per call. `logs`
        hold means over the call: loss (the energy), energy, energy_error, variance, kinetic, trap, interaction,
        acceptance. `recent_iterations` gives every single iteration.

        Args:
            iterations: number of optimiser updates.
            callbacks: Keras callbacks: one, a list, or a `CallbackList`; `tf_nqs.callbacks` has those made for this
                trainer, the guide says what Keras' own do.
            done: how many of the iterations an earlier call of `fit` has done, the state of which was restored since.
            verbose: 0 for silence, 1 or "auto" for Keras' bar, which counts iterations, 2 for a line per call.
            **kwargs: refused; for Keras' other arguments the error says what to use instead.

        Returns:
            Keras' history, an entry per call.

        Raises:
            ValueError: iterations is not an integer of at least 1, a callback cannot do its work, the ansatz is no wave
                function of fermions or has operations that XLA lacks, or the potential is infinite where the wave
                function does not vanish.
            TypeError: an argument of Keras' `fit` that this one does not have.
            RuntimeError: `compile` was not called.
        """
        refuse_keras_arguments("fit", kwargs)
        iterations, done = whole_number("iterations", iterations, 1), whole_number("done", done)
        verbose, callbacks = checked_verbose(verbose), flat_callbacks(callbacks)
        self._check_compiled()
        check_callbacks(callbacks, self.optimizer)
        self.follow_trainable()
        if not self.seconds_compile:
            self.warm_up()
        if self.needs_burn_in and self.iteration.numpy() == 0:
            for group, phases in zip(self.groups, self.all_phases, strict=True):
                group.assign(self.sampler.burn_in(phases.sample, group.walkers))
        refuse_infinite_potential(self)
        periods = {one for callback in callbacks if (one := getattr(callback, "call_period", None)) is not None}
        if verbose:
            callbacks = [*callbacks, IterationProgress(iterations, done, verbose)]
        return self.fit_calls(call_lengths(iterations, self.iterations_per_call, periods, done), callbacks)

    @in_scope
    def evaluate_energy(
        self,
        target_error: float = defaults.TARGET_ERROR,
        max_seconds: float = defaults.EVALUATION_MAX_SECONDS,
        relations: bool = True,
        report: Callable[[SampledMean], None] | None = None,
    ) -> EnergyMeasurement:
        """Measures the energy with frozen parameters and frozen proposal width, after a burn-in that is checked.

        Args:
            target_error: requested standard error, in hbar*omega.
            max_seconds: longest time for it.
            relations: whether to measure as well what the exact state obeys, see `tf_nqs.physics.relations`.
            report: called every few seconds with the estimate so far.

        Returns:
            EnergyMeasurement.

        Raises:
            ValueError: target_error is not above 0, the ansatz is not antisymmetric, or the potential is infinite where
                the wave function does not vanish.
            RuntimeError: `compile` was not called.
        """
        if not target_error > 0:
            raise ValueError(f"target_error = {target_error}: must be above 0")
        self._check_compiled()
        check_wave_function(self.ansatz, self.positions, at_start=False)
        with explained_xla_failures(self.ansatz):
            return evaluate_energy(self, target_error, max_seconds, relations, report)

    def evaluate(self, *data: Any, **kwargs: Any) -> dict[str, float]:
        """Returns `evaluate_energy(**kwargs)` as a dictionary, as Keras' own `evaluate` does."""
        known = inspect.signature(self.evaluate_energy).parameters
        refuse_keras_arguments("evaluate", ["x"] * bool(data) + [name for name in kwargs if name not in known])
        return self.evaluate_energy(**kwargs)._asdict()

    def with_near_pairs(self, positions: Tensor, weights: Tensor, number: Tensor | int) -> WeightedPositions:
        """Returns walkers, and behind them the samples that a short-ranged interaction needs; see `near_pairs`."""
        return with_near_pairs(self.phases.log_abs_psi, self.zone, positions, weights, number)

    def call(self, positions: Tensor) -> Any:
        return self.ansatz(positions)
