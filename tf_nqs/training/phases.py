"""The phases of an iteration, compiled."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tf_nqs.ansatz.derivatives import energy_derivatives
from tf_nqs.execution.chunks import phase_of_rows
from tf_nqs.execution.compilation import compiled_phase
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.relations import local_deviations, relation_names
from tf_nqs.sampling.mixed_precision import sampling_in
from tf_nqs.sampling.near_pairs import like_orbits, like_samples
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.trainer import Compilation, Phases, Trainer
from tf_nqs.training.gradients import Gradient
from tf_nqs.types import Tensor


def make_phases(
    ansatz: keras.Model,
    system: TrappedFermions,
    sampler: SamplerProtocol,
    laplacian: str,
    sampling_dtype: str,
    compilation: Compilation,
    gradient: Gradient,
) -> Phases:
    """Returns the phases of an iteration.

    Args:
        ansatz: Keras model, positions -> (sign, log_abs_psi).
        system: the Hamiltonian.
        sampler: how |Psi|^2 is sampled.
        laplacian: "forward" or "nested".
        sampling_dtype: "ansatz", "float32" or "float64".
        compilation: whether XLA compiles them, and the bound on the working memory of local energy and derivatives.
            Their results, and what the natural gradient makes of the scores (copies of n_walkers x n_parameters, a
            matrix with as many rows as there are walkers or parameters), are kept whole. Sampling needs the least and
            is not chunked.
        gradient: derivatives and update.

    Raises:
        ValueError: chunk_mebibytes is not above 0, or the ansatz cannot be built in the sampling's dtype.
    """
    if not compilation.chunk_mebibytes > 0:
        raise ValueError(f"chunk_mebibytes = {compilation.chunk_mebibytes}: must be above 0")
    derivatives = energy_derivatives(ansatz, laplacian, system)
    relations = relation_names(system)

    def compiled(function: Callable) -> Callable:
        return compiled_phase(function, compilation.jit_compile)

    return Phases(
        sample=tf.function(sampling_in(sampling_dtype, sampler, ansatz, system.n_particles, compiled), autograph=False),
        log_abs_psi=phase_of_rows(lambda x: ansatz(x)[1], *compilation),
        local_energy=phase_of_rows(lambda x: system.local_energy(x, derivatives(x)), *compilation),
        derivatives=gradient.derivatives,
        update=gradient.update,
        relations=phase_of_rows(
            lambda x, kinetic: local_deviations(ansatz, system, relations, x, kinetic), *compilation
        ),
    )


def phases_with_arguments(vmc: Trainer) -> list[tuple[Callable, tuple[Tensor, ...]]]:
    """Returns the phases that the iterations of a trainer call, with arguments to trace them by.

    In the order that keeps two cores busy: what compiles longest first, while what is traced longest comes next.
    """
    walkers, phases = vmc.walkers, vmc.phases
    positions = like_samples(walkers.positions) if vmc.zone else walkers.positions
    ones = tf.ones_like(positions[:, 0])
    calls: list[tuple[Callable, tuple[Tensor, ...]]] = [
        (phases.sample, (walkers,)),
        (phases.derivatives, (positions, ones, ones)),
        (phases.local_energy, (positions,)),
    ]
    if vmc.zone:
        calls.append((phases.log_abs_psi, (like_orbits(walkers.positions),)))
    return calls if vmc.reuse.never_reuses else [*calls, (phases.log_abs_psi, (walkers.positions,))]
