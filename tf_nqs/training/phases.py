"""The phases of an iteration, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from tf_nqs.ansatz.check import is_from_package
from tf_nqs.ansatz.derivatives import energy_derivatives
from tf_nqs.execution.chunks import phase_of_rows, phase_of_sums
from tf_nqs.execution.compilation import compiled_phase
from tf_nqs.execution.per_walker import with_each_row_twice
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.mixed_precision import sampling_in
from tf_nqs.sampling.near_pairs import like_orbits, like_samples
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.training.loss import surrogate_loss
from tf_nqs.training.natural_gradient import scores
from tf_nqs.types import LocalEnergy, LogAbsPsi, Tensor, WalkerState


class Phases(NamedTuple):
    """What an iteration consists of; each is traced and compiled when it is first called.

    Attributes:
        sample: WalkerState -> (WalkerState, acceptance).
        log_abs_psi: positions (n_walkers, n_particles) -> ln|Psi| (n_walkers,), in the ansatz' precision.
        local_energy: positions (n_walkers, n_particles) -> LocalEnergy.
        energy_gradient: (positions, local energies, weights R) -> one tensor per trainable variable.
        scores: positions -> d ln|Psi(x_n)| / d theta_k, shape (n_walkers, n_parameters).
    """

    sample: Callable[[WalkerState], tuple[WalkerState, Tensor]]
    log_abs_psi: LogAbsPsi
    local_energy: Callable[[Tensor], LocalEnergy]
    energy_gradient: Callable[[Tensor, Tensor, Tensor], list[Tensor]]
    scores: Callable[[Tensor], Tensor]


def make_phases(
    ansatz: keras.Model,
    system: TrappedFermions,
    sampler: SamplerProtocol,
    laplacian: str,
    sampling_dtype: str,
    jit_compile: bool,
    chunk_mebibytes: float,
) -> Phases:
    """Returns the phases of an iteration.

    Args:
        ansatz: Keras model, positions -> (sign, log_abs_psi).
        system: the Hamiltonian.
        sampler: how |Psi|^2 is sampled.
        laplacian: "forward" or "nested".
        sampling_dtype: "ansatz", "float32" or "float64".
        jit_compile: whether XLA compiles them.
        chunk_mebibytes: bound on the working memory of local energy, gradient and scores, in MiB. Their results, and
            what the natural gradient makes of the scores (copies of n_walkers x n_parameters, a matrix with as many
            rows as there are walkers or parameters), are kept whole. Sampling needs the least and is not chunked.

    Raises:
        ValueError: chunk_mebibytes is not above 0, or the ansatz cannot be built in the sampling's dtype.
    """
    if not chunk_mebibytes > 0:
        raise ValueError(f"chunk_mebibytes = {chunk_mebibytes}: must be above 0")
    derivatives = energy_derivatives(ansatz, laplacian, system)

    def compiled(function: Callable) -> Callable:
        return compiled_phase(function, jit_compile)

    sampling = sampling_in(sampling_dtype, sampler, ansatz, system.n_particles, compiled)
    return Phases(
        tf.function(sampling, autograph=False),
        phase_of_rows(lambda x: ansatz(x)[1], jit_compile, chunk_mebibytes),
        phase_of_rows(lambda x: system.local_energy(x, derivatives(x)), jit_compile, chunk_mebibytes),
        *make_gradients(ansatz, jit_compile, chunk_mebibytes),
    )


def make_gradients(ansatz: keras.Model, jit_compile: bool, chunk_mebibytes: float) -> tuple[Callable, Callable]:
    """Returns `energy_gradient` and `scores` of `Phases`, by the variables that are trainable when they are traced.

    Args:
        ansatz: Keras model, positions -> (sign, log_abs_psi).
        jit_compile: whether XLA compiles them.
        chunk_mebibytes: bound on their working memory, in MiB.
    """

    def log_abs_psi(positions: Tensor) -> Tensor:
        return ansatz(positions)[1]

    of_one_walker = log_abs_psi if jit_compile or is_from_package(ansatz) else with_each_row_twice(log_abs_psi)
    return (
        _energy_gradient(log_abs_psi, ansatz, jit_compile, chunk_mebibytes),
        phase_of_rows(lambda x: scores(of_one_walker, ansatz.trainable_variables, x), jit_compile, chunk_mebibytes),
    )


def phases_with_arguments(vmc: keras.Model) -> list[tuple[Callable, tuple[Tensor, ...]]]:
    """Returns the phases that the iterations of a `VariationalMonteCarlo` call, with arguments to trace them by.

    In the order that keeps two cores busy: what compiles longest first, while what is traced longest comes next.
    """
    walkers = vmc.walkers
    positions = like_samples(walkers.positions) if vmc.zone else walkers.positions
    ones = tf.ones_like(positions[:, 0])
    gradient = (vmc.scores, (positions,)) if vmc.natural_gradient else (vmc.energy_gradient, (positions, ones, ones))
    calls = [(vmc.sample, (walkers,)), gradient, (vmc.local_energy, (positions,))]
    if vmc.zone:
        calls.append((vmc.log_abs_psi, (like_orbits(walkers.positions),)))
    return calls if vmc.reuse.never_reuses else [*calls, (vmc.log_abs_psi, (walkers.positions,))]


def _energy_gradient(
    log_abs_psi: LogAbsPsi, ansatz: keras.Model, jit_compile: bool, chunk_mebibytes: float
) -> Callable:
    """The surrogate loss' gradient, sum_n c_n d ln|Psi(x_n)| with c_n = d loss / d ln|Psi(x_n)| over all walkers."""

    def weighted_gradient(positions: Tensor, coefficients: Tensor) -> list[Tensor]:
        with tf.GradientTape() as tape:
            value = log_abs_psi(positions)
        return tape.gradient(
            value,
            ansatz.trainable_variables,
            output_gradients=coefficients,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )

    summed = phase_of_sums(weighted_gradient, jit_compile, chunk_mebibytes)

    def energy_gradient(positions: Tensor, local_energy: Tensor, weights: Tensor) -> list[Tensor]:
        anywhere = tf.zeros_like(local_energy)  # the loss is linear in ln|Psi|
        with tf.GradientTape() as tape:
            tape.watch(anywhere)
            loss = surrogate_loss(anywhere, local_energy, weights)
        return summed(positions, tape.gradient(loss, anywhere))

    return energy_gradient
