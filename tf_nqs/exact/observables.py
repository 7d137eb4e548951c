"""One- and two-body observables of exact ground states on a grid: free fermions, and up to four interacting ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np
from numpy.polynomial import hermite
from numpy.typing import NDArray

from tf_nqs.exact.convergence import best_frequency
from tf_nqs.exact.diagonalisation import GroundState, ground_state
from tf_nqs.exact.free_fermions import oscillator_orbitals
from tf_nqs.whole_numbers import whole_number

CUTS = {2: 120, 3: 60, 4: 44}
"""Number of particles -> energy cut; more particles are too many for wave functions on a grid."""

_SEARCH_CUT = 30
_NODES_PER_FREQUENCY = 6
"""Number of Gauss-Hermite nodes of the centre of mass, per unit frequency; Psi is exact to 1e-7 of its maximum."""

_LEAST_OCCUPATION = 1e-300


class ExactObservables(NamedTuple):
    """Observables of an exact ground state.

    Attributes:
        x: positions in a_ho, symmetric about 0 and evenly spaced, shape (n_places,).
        density: n(x) in 1/a_ho, of integral A.
        one_body_density_matrix: spacing * rho(x, x'), of trace A; its eigenvectors are natural orbitals.
        occupations: its eigenvalues, descending.
        pair_density: n_2(x, x') in 1/a_ho^2, of integral A (A - 1).
        rms_size: sqrt(<sum_i x_i^2> / A) in a_ho.
        entropy: -sum_k n_k ln n_k over the occupations.
        kinetic: energy in hbar*omega.
        trap: energy in hbar*omega.
        interaction: energy in hbar*omega.
    """

    x: NDArray[np.float64]
    density: NDArray[np.float64]
    one_body_density_matrix: NDArray[np.float64]
    occupations: NDArray[np.float64]
    pair_density: NDArray[np.float64]
    rms_size: float
    entropy: float
    kinetic: float
    trap: float
    interaction: float


def entropy_of(occupations: NDArray[np.float64]) -> float:
    """Returns -sum_k n_k ln n_k of numbers n_k that are not negative, up to rounding."""
    kept = np.maximum(occupations, _LEAST_OCCUPATION)
    return float(-np.sum(kept * np.log(kept)))


def exact_observables(
    n_particles: int, interaction_strength: float, interaction_range: float, x: NDArray[np.float64]
) -> ExactObservables | None:
    """Returns the observables of the ground state in the harmonic trap.

    Args:
        n_particles: number of fermions A.
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho, > 0.
        x: positions in a_ho: symmetric about 0, evenly spaced, 4 m + 1 of them; they must cover and resolve the state.

    Returns:
        In closed form for V0 = 0 or A = 1, by diagonalisation for A = 2 to 4, else None.

    Raises:
        ValueError: an argument is out of its range.
    """
    if whole_number("n_particles", n_particles, 1) == 1 or interaction_strength == 0.0:
        return free_fermion_observables(n_particles, x)
    if n_particles not in CUTS:
        return None
    system = (n_particles, interaction_strength, interaction_range)
    frequency = max(1.0, best_frequency(*system, cut=_SEARCH_CUT))
    state = ground_state(*system, cut=CUTS[n_particles], frequency=frequency)

    def pair_energy(distances: np.ndarray) -> np.ndarray:
        height = interaction_strength / (np.sqrt(2.0 * np.pi) * interaction_range)
        return height * np.exp(-0.5 * (distances / interaction_range) ** 2)

    return state_observables(state, x, pair_energy)


def free_fermion_observables(n_particles: int, x: NDArray[np.float64]) -> ExactObservables:
    """Returns the observables of A free fermions: rho = sum_(n < A) phi_n phi_n, n_2 = n(x) n(x') - rho(x, x')^2."""
    orbitals = oscillator_orbitals(n_particles, x)
    rho = orbitals.T @ orbitals
    density = np.diag(rho).copy()
    half = 0.25 * n_particles**2
    return ExactObservables(
        x=x,
        density=density,
        one_body_density_matrix=(x[1] - x[0]) * rho,
        occupations=(np.arange(len(x)) < n_particles).astype(float),
        pair_density=density[:, None] * density - rho**2,
        rms_size=float(np.sqrt(0.5 * n_particles)),
        entropy=0.0,
        kinetic=half,
        trap=half,
        interaction=0.0,
    )


def wave_function_bytes(n_particles: int, n_places: int) -> int:
    """Returns the approximate memory of `exact_observables` for a diagonalised wave function on the grid, in bytes.

    Args:
        n_particles: number of fermions A; 0 bytes if the system is not diagonalised.
        n_places: number of points of the grid.
    """
    if n_particles not in CUTS:
        return 0
    n_rests = math.comb(n_places if n_particles == 3 else (n_places + 1) // 2, n_particles - 2)
    return 2 * 8 * n_rests * n_places**2  # twice: for the sum and for one of its terms


def state_observables(
    state: GroundState, x: NDArray[np.float64], pair_energy: Callable[[np.ndarray], np.ndarray]
) -> ExactObservables:
    """Returns the observables of a diagonalised ground state of two to four particles in the trap.

    Psi(x, x', rest) is computed on the grid and summed over the rest: for a smooth function that vanishes at the ends,
    trapezoid sums are exact to the resolution of the grid. If the rest has two particles, they use every second point.

    Args:
        state: a state of frequency >= 1.
        x: as for `exact_observables`.
        pair_energy: v, callable, distances in a_ho -> energies in hbar omega.

    Raises:
        ValueError: x is not such a grid.
    """
    is_even = len(x) % 4 == 1 and len(x) > 1 and np.allclose(x, -x[::-1]) and np.allclose(np.diff(x), x[1] - x[0])
    if not is_even:
        raise ValueError("x: must be 4 m + 1 places, m >= 1, evenly spaced and symmetric about 0")
    n_particles, spacing = state.occupations.shape[1], x[1] - x[0]
    stride = 2 if n_particles == 4 else 1
    psi = _wave_function(state, x, stride)
    measure = (stride * spacing) ** (n_particles - 2) * math.factorial(n_particles - 2)
    pair_density = n_particles * (n_particles - 1) * measure * np.einsum("rxy,rxy->xy", psi, psi)
    rows = np.moveaxis(psi[:, :, ::stride], 0, 1).reshape(len(x), -1)
    gamma = n_particles * measure * stride * spacing**2 * (rows @ rows.T)
    # The norm in the basis is 1; this undoes its change by the shifts of the centre of mass.
    norm = np.trace(gamma) / n_particles
    gamma, pair_density = gamma / norm, pair_density / norm
    density = np.diag(gamma) / spacing
    trap = 0.5 * spacing * float(np.sum(density * x**2))
    interaction = 0.5 * spacing**2 * float(np.sum(pair_density * pair_energy(x[:, None] - x)))
    occupations = np.maximum(np.linalg.eigvalsh(gamma)[::-1], 0.0)
    return ExactObservables(
        x=x,
        density=density,
        one_body_density_matrix=gamma,
        occupations=occupations,
        pair_density=pair_density,
        rms_size=float(np.sqrt(2.0 * trap / n_particles)),
        entropy=entropy_of(occupations),
        kinetic=state.energy - trap - interaction,
        trap=trap,
        interaction=interaction,
    )


def _wave_function(state: GroundState, x: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    """Returns Psi(rest, x, x') up to a factor, shape (n_rests, n_places, n_places); rests ascending, of x[::stride].

    A basis of higher frequency w makes the centre of mass X too narrow, exp(-A w X^2 / 2) instead of
    exp(-A X^2 / 2). The latter is the former convolved with a Gaussian of variance (1 - 1/w) / A: a sum of shifted
    copies of Psi.
    """
    n_particles = state.occupations.shape[1]
    amplitudes = _antisymmetric_tensor(state)
    coarse = x[::stride]
    rests = np.array(list(combinations(range(len(coarse)), n_particles - 2)), dtype=int)
    variance = (1.0 - 1.0 / state.frequency) / n_particles
    n_nodes = math.ceil(_NODES_PER_FREQUENCY * state.frequency)
    nodes, weights = hermite.hermgauss(n_nodes) if variance > 0.0 else (np.zeros(1), np.ones(1))
    psi = np.zeros((len(rests), len(x), len(x)))
    for node, weight in zip(nodes, weights, strict=True):
        shift = np.sqrt(2.0 * variance) * node
        orbitals = oscillator_orbitals(len(amplitudes), (x - shift) * np.sqrt(state.frequency))
        few = orbitals[:, ::stride]
        term = amplitudes
        for _ in range(n_particles - 2):  # the last axis becomes a position and moves to the front
            term = np.moveaxis(term @ few, -1, 0)
        places = tuple(rests.T[::-1])
        term = term[places] if places else term[np.newaxis]  # (n_rests, n_orbitals, n_orbitals)
        psi += np.matmul(weight * orbitals.T, term @ orbitals)
    return psi


def _antisymmetric_tensor(state: GroundState) -> NDArray[np.float64]:
    """Returns C with Psi = sum C_(n_1 .. n_A) phi_(n_1)(x_1) .. phi_(n_A)(x_A), shape (n_orbitals,) * A."""
    n_particles = state.occupations.shape[1]
    tensor = np.zeros((int(state.occupations.max()) + 1,) * n_particles)
    for order in permutations(range(n_particles)):
        sign = np.linalg.det(np.eye(n_particles)[list(order)])
        tensor[tuple(state.occupations[:, order].T)] = sign * state.amplitudes
    return tensor / np.sqrt(math.factorial(n_particles))
