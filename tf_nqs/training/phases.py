"""The phases of an iteration, compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import keras
import tensorflow as tf

from tf_nqs.ansatz.conditioned import wave_function_at
from tf_nqs.ansatz.derivatives import energy_derivatives
from tf_nqs.ansatz.protocol import WaveFunction
from tf_nqs.execution.chunks import phase_of_rows
from tf_nqs.execution.compilation import compiled_phase
from tf_nqs.execution.replicas import strategy_in_scope
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.parameters import SystemParameters
from tf_nqs.physics.relations import local_deviations, relation_names
from tf_nqs.sampling.mixed_precision import sampling_in
from tf_nqs.sampling.near_pairs import like_orbits, like_samples
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.trainer import Compilation, Phases, Trainer
from tf_nqs.training.conditions import Conditions, rows_of
from tf_nqs.training.gradients import Gradient
from tf_nqs.training.walker_group import WalkerGroup
from tf_nqs.types import LocalEnergy, Tensor


def make_phases(
    ansatz: keras.Model,
    system: TrappedFermions,
    sampler: SamplerProtocol,
    laplacian: str,
    sampling_dtype: str,
    compilation: Compilation,
    gradient: Gradient,
    conditions: Conditions | None = None,
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
        conditions: the systems of the walkers; None for one system.

    Raises:
        ValueError: chunk_mebibytes is not above 0, or the ansatz cannot be built in the sampling's dtype.
    """
    if not compilation.chunk_mebibytes > 0:
        raise ValueError(f"chunk_mebibytes = {compilation.chunk_mebibytes}: must be above 0")
    relations = relation_names(system)
    n_particles = system.n_particles
    parameters = partial(rows_of, conditions)

    def compiled(function: Callable) -> Callable:
        return compiled_phase(function, compilation.jit_compile)

    def with_parameters(function: Callable[..., Any]) -> Callable[[Tensor], Any]:
        rows = phase_of_rows(function, *compilation)
        return rows if conditions is None else lambda positions: rows(positions, *parameters())

    def log_abs_psi(positions: Tensor, *rows: Tensor) -> Tensor:
        return wave_function_at(ansatz, n_particles, *rows)(positions)[1]

    def local_energy(positions: Tensor, *rows: Tensor) -> LocalEnergy:
        psi = cast(WaveFunction, wave_function_at(ansatz, n_particles, *rows))
        derivatives = energy_derivatives(psi, laplacian, system)
        return system.local_energy(positions, derivatives(positions), *map(SystemParameters.of_rows, rows))

    sample = sampling_in(sampling_dtype, sampler, ansatz, n_particles, compiled, parameters)
    return Phases(
        sample=sample if strategy_in_scope() else tf.function(sample, autograph=False),
        log_abs_psi=with_parameters(log_abs_psi),
        local_energy=with_parameters(local_energy),
        derivatives=gradient.derivatives_of(conditions),
        update=gradient.update,
        relations=phase_of_rows(
            lambda x, kinetic: local_deviations(ansatz, system, relations, x, kinetic), *compilation
        ),
    )


class PhaseCall(NamedTuple):
    """A call of a phase, for tracing.

    Attributes:
        group: number of the group of walkers.
        name: of the phase, as in `Phases`.
        phase: the function.
        arguments: of its call.
    """

    group: int
    name: str
    phase: Callable
    arguments: tuple[Any, ...]


def calls_of_phases(vmc: Trainer) -> list[PhaseCall]:
    """Returns calls of the phases that the iterations of a trainer call, with arguments to trace them by.

    In the order that keeps two cores busy: what compiles longest first, while what is traced longest comes next.
    """
    calls = [
        [PhaseCall(number, name, getattr(phases, name), arguments) for name, arguments in _arguments(vmc, group)]
        for number, (group, phases) in enumerate(zip(vmc.groups, vmc.all_phases, strict=True))
    ]
    return [call for together in zip(*calls, strict=True) for call in together]


def _arguments(vmc: Trainer, group: WalkerGroup) -> list[tuple[str, tuple[Any, ...]]]:
    """Names and arguments of the phases of the walkers with one number of particles."""
    walkers = group.walkers
    positions = like_samples(walkers.positions) if vmc.zone else walkers.positions
    ones = tf.ones_like(positions[:, 0])
    factors = () if group.conditions is None else (tf.ones(group.n_systems, ones.dtype),)
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("sample", (walkers,)),
        ("derivatives", (positions, ones, ones, *factors)),
        ("local_energy", (positions,)),
    ]
    if vmc.zone:
        calls.append(("log_abs_psi", (like_orbits(walkers.positions),)))
    return calls if group.reuse.never_reuses else [*calls, ("log_abs_psi", (walkers.positions,))]
