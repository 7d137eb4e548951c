"""Measuring densities, correlations and occupations along the Markov chains of a frozen wave function."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.analysis.chain_sums import ChainSums
from tf_nqs.exact.observables import entropy_of
from tf_nqs.execution.agreement import chief_decides
from tf_nqs.execution.chunks import phase_of_rows
from tf_nqs.measurement.evaluation import settle, walkers_energy
from tf_nqs.observables.conditional import conditional_orbital, spread_on_grid
from tf_nqs.observables.grid import NothingMeasuredError, choose_grid
from tf_nqs.observables.jackknife import jackknife, with_sum
from tf_nqs.observables.natural import error_with_repulsion, natural_occupations, natural_orbitals
from tf_nqs.observables.pairs import distribution_of_distance, pair_distribution
from tf_nqs.physics.contact import has_finite_parts, with_contact_energy
from tf_nqs.physics.relations import is_even
from tf_nqs.trainer import Trainer
from tf_nqs.types import Estimate, LocalEnergy, Tensor

_MAX_GROUPS = 64
"""Largest number of groups of walkers: an error from 64 groups is itself known to 9 %."""

_LEAST_ROWS = 20
_SHARE_OF_BURN_IN = 0.3
_SECONDS_BETWEEN_REPORTS = 2.0

_SHARED_MULTIPLE = 32
"""With grids of 32 m + 1 places 0.1 a_ho apart, states whose widths differ by less than 3.2 a_ho mostly have the same
number of places, and hardly any places are wasted."""

Orbitals = Callable[[Tensor, Tensor], Tensor]
"""(positions (n_walkers, n_particles), grids (n_walkers, n_places)) -> orbitals (n_walkers, n_places)."""


class Observables(NamedTuple):
    """Observables of a wave function with their standard errors; lengths in a_ho, energies in hbar*omega.

    Attributes:
        x: grid, symmetric about 0, shape (n_places,).
        density: n(x), of integral A, shape (n_places,).
        one_body_density_matrix: spacing * rho(x, x'), the matrix in the grid's own orthonormal basis, of trace A.
        occupations: its eigenvalues, descending, shape (n_places,).
        natural_orbitals: its eigenvectors as functions of x, shape (n_places, n_places), a row for each occupation.
        pair_density: n_2(x, x'), of integral A (A - 1).
        pair_distribution: n_2(x, x') / (n(x) n(x')); nan where hardly any particle is.
        r: distances between places of the grid, from 0 on, shape (n_places,).
        distribution_of_distance: int n_2(x, x + r) dx / int n(x) n(x + r) dx, shape (n_places,); nan where hardly any
            two particles are so far apart.
        rms_size: sqrt(<sum_i x_i^2> / A).
        entropy: -sum_k n_k ln n_k over the occupations.
        kinetic, trap, interaction: parts of the energy; the errors of the first and the last are nan where their
            variance is infinite, see `tf_nqs.physics.contact.has_finite_parts`.
        n_samples: positions of all particles that were looked at.
        in_equilibrium: whether the burn-in ended in equilibrium and the chains have mixed; if not, the errors are too
            small.
    """

    x: np.ndarray
    density: Estimate
    one_body_density_matrix: Estimate
    occupations: Estimate
    natural_orbitals: np.ndarray
    pair_density: Estimate
    pair_distribution: Estimate
    r: np.ndarray
    distribution_of_distance: Estimate
    rms_size: Estimate
    entropy: Estimate
    kinetic: Estimate
    trap: Estimate
    interaction: Estimate
    n_samples: int
    in_equilibrium: bool


class _Sums(NamedTuple):
    """Sums over the samples of each group of walkers; see `_add`."""

    counts: np.ndarray
    matrix: np.ndarray
    pairs: np.ndarray
    parts: np.ndarray


def compiled_orbitals(vmc: Trainer) -> Orbitals:
    """Returns (positions, grid of each walker) -> `conditional_orbital`, compiled once for each number of places.

    The weights are data of it: after they have changed it is that of the new wave function.

    Args:
        vmc: a compiled trainer.
    """
    return phase_of_rows(lambda positions, x: conditional_orbital(vmc.ansatz, positions, x), *vmc.compilation)


def measure_observables(
    vmc: Trainer,
    max_seconds: float = defaults.EVALUATION_MAX_SECONDS,
    max_samples: float = np.inf,
    report: Callable[[int, float], None] | None = None,
    orbitals: Orbitals | None = None,
) -> Observables:
    """Measures with frozen parameters and frozen proposal width, after a burn-in that is checked.

    Where the potentials are even, what is measured is averaged over the wave function and its mirror image, which have
    the same energy: the ground state has a parity, and so have its natural orbitals.

    Args:
        vmc: a compiled `VariationalMonteCarlo`; its walkers are moved, its wave function is not.
        max_seconds: wall-clock time; at least 20 sampling calls are looked at all the same.
        max_samples: number of samples that are enough.
        report: called every few seconds with the number of samples and the seconds so far.
        orbitals: `compiled_orbitals` of this trainer, for one that measures several wave functions, one after the
            other. The number of places of the grid is then 1 more than a multiple of 32, so that little is compiled
            again. None to compile them for this measurement.

    Raises:
        RuntimeError: the trainer was not compiled.
        NothingMeasuredError: the wave function or the local energy is finite at no walker.
    """
    if not vmc.compiled:
        raise RuntimeError("the trainer has no optimiser yet: call compile(optimizer=...) first")
    started = reported = time.monotonic()
    equilibrium = settle(vmc, _SHARE_OF_BURN_IN * max_seconds)
    x = choose_grid(vmc) if orbitals is None else choose_grid(vmc, _SHARED_MULTIPLE)
    orbitals = orbitals or compiled_orbitals(vmc)
    grids = tf.repeat(tf.constant(x, vmc.compute_dtype)[tf.newaxis], vmc.sampler.n_walkers, axis=0)
    local_energy = walkers_energy(vmc) if vmc.zone else vmc.phases.local_energy
    exponent = vmc.system.contact_exponent
    sums, n_rows = _empty(vmc.sampler.n_walkers, len(x)), 0
    chains = ChainSums(vmc.sampler.n_walkers)
    while True:
        walkers, _ = vmc.phases.sample(vmc.walkers)
        vmc.place_walkers(walkers)
        # Particles are alike: each in turn is the one that is moved over the grid.
        positions = tf.roll(vmc.walkers.positions, n_rows, axis=1)
        _add(sums, x, *(np.asarray(one, np.float64) for one in (positions, orbitals(positions, grids))))
        energy = local_energy(positions)
        _add_parts(sums, with_contact_energy(energy, positions, exponent))
        chains.add(np.asarray(energy.total, np.float64)[np.newaxis])
        n_rows += 1
        now, n_samples = time.monotonic(), int(sums.counts[:, 0].sum())
        if report and now - reported > _SECONDS_BETWEEN_REPORTS:
            report(n_samples, now - started)
            reported = now
        if chief_decides(n_rows >= _LEAST_ROWS and (now - started > max_seconds or n_samples >= max_samples)):
            break
    if not sums.counts.sum(axis=0).all():
        raise NothingMeasuredError("no sample has a finite wave function and a finite energy")
    is_settled = equilibrium.is_reached and chains.is_mixed()
    observed = _observables(sums, x, vmc.system.n_particles, is_even(vmc.system), is_settled)
    if has_finite_parts(exponent):
        return observed
    unknown = {name: getattr(observed, name)._replace(error=np.array(np.nan)) for name in ("kinetic", "interaction")}
    return observed._replace(**unknown)


def _empty(n_walkers: int, n_places: int) -> _Sums:
    n_groups = min(_MAX_GROUPS, n_walkers)
    matrix, pairs = (np.zeros((n_groups, n_places, n_places)) for _ in range(2))
    parts = np.zeros((n_groups, len(LocalEnergy._fields)))
    return _Sums(counts=np.zeros((n_groups, 2), int), matrix=matrix, pairs=pairs, parts=parts)


def _grouped(values: np.ndarray, n_groups: int) -> np.ndarray:
    """Returns walkers in equal groups, shape (n_groups, n, ...); up to n_groups - 1 left over are not looked at."""
    each = len(values) // n_groups
    return values[: each * n_groups].reshape(n_groups, each, *values.shape[1:])


def _add(sums: _Sums, x: np.ndarray, positions: np.ndarray, orbitals: np.ndarray) -> None:
    """Adds A times the projectors on the walkers' orbitals, and A times density times the others' places."""
    n_groups, n_particles = len(sums.counts), positions.shape[1]
    counted = np.isfinite(orbitals).all(axis=1)
    orbitals = np.where(counted[:, np.newaxis], orbitals, 0.0)
    others = spread_on_grid(positions[:, 1:], x)
    one, rest = _grouped(orbitals, n_groups), _grouped(others, n_groups)
    sums.counts[:, 0] += _grouped(counted, n_groups).sum(axis=1)
    np.add(sums.matrix, n_particles * np.matmul(one.transpose(0, 2, 1), one), out=sums.matrix)
    density = one**2 * (n_particles / (x[1] - x[0]))
    np.add(sums.pairs, np.matmul(density.transpose(0, 2, 1), rest), out=sums.pairs)


def _add_parts(sums: _Sums, energy: LocalEnergy) -> None:
    parts = np.stack([np.asarray(part, np.float64) for part in energy], axis=1)
    counted = np.all(np.isfinite(parts), axis=1)
    grouped = _grouped(np.where(counted[:, np.newaxis], parts, 0.0), len(sums.counts))
    np.add(sums.parts, grouped.sum(axis=1), out=sums.parts)
    sums.counts[:, 1] += _grouped(counted, len(sums.counts)).sum(axis=1)


def _observables(sums: _Sums, x: np.ndarray, n_particles: int, even: bool, in_equilibrium: bool) -> Observables:
    spacing, counts = x[1] - x[0], sums.counts[:, 0]

    def mean_matrix(matrix: np.ndarray) -> np.ndarray:
        matrix = 0.5 * (matrix + matrix.T)
        return 0.5 * (matrix + matrix[::-1, ::-1]) if even else matrix

    def density(matrix: np.ndarray) -> np.ndarray:
        return np.diag(mean_matrix(matrix)) / spacing

    def of_pairs(statistic: Callable[..., np.ndarray]) -> Estimate:
        both = [sums.matrix, sums.pairs]
        return jackknife(lambda matrix, pairs: statistic(mean_matrix(pairs), density(matrix)), both, counts)

    def of_matrix(statistic: Callable[..., np.ndarray | float]) -> Estimate:
        return jackknife(statistic, [sums.matrix], counts)

    def part(name: str) -> Estimate:
        index = LocalEnergy._fields.index(name)
        return jackknife(lambda mean: mean, [sums.parts[:, index]], sums.counts[:, 1])

    occupations = with_sum(of_matrix(lambda matrix: natural_occupations(mean_matrix(matrix), even)), n_particles)
    order = np.argsort(-occupations.value, kind="stable")
    orbitals = natural_orbitals(mean_matrix(sums.matrix.sum(axis=0) / counts.sum()), even)
    mixing = of_matrix(lambda matrix: orbitals @ mean_matrix(matrix) @ orbitals.T).error
    if even:
        of_even = np.arange(len(x)) <= len(x) // 2
        mixing[of_even[:, np.newaxis] != of_even] = 0.0
    errors = error_with_repulsion(occupations.value, occupations.error, mixing)
    return Observables(
        x=x,
        density=of_matrix(density),
        one_body_density_matrix=of_matrix(mean_matrix),
        occupations=Estimate(occupations.value[order], errors[order]),
        natural_orbitals=orbitals[order] / np.sqrt(spacing),
        pair_density=jackknife(mean_matrix, [sums.pairs], counts),
        pair_distribution=of_pairs(pair_distribution),
        r=spacing * np.arange(len(x)),
        distribution_of_distance=of_pairs(distribution_of_distance),
        rms_size=of_matrix(lambda matrix: np.sqrt(spacing * np.sum(density(matrix) * x**2) / n_particles)),
        entropy=of_matrix(lambda matrix: entropy_of(natural_occupations(mean_matrix(matrix), even))),
        **{name: part(name) for name in LocalEnergy._fields},
        n_samples=int(counts.sum()),
        in_equilibrium=in_equilibrium,
    )
