"""Diagonalisation for a few particles: the intrinsic Hamiltonian in an energy-cut oscillator basis.

H = H_cm + H_intrinsic, and the lowest level of H_cm is 1/2. The space of all determinants up to an
energy cut contains each intrinsic state times the lowest centre-of-mass state, for any frequency of
the basis. So the frequency can be chosen for the intrinsic state, and E is an upper bound for each
cut.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from tf_nqs.exact.determinants import (
    determinant_list,
    remove_pairs,
)
from tf_nqs.exact.two_body import oscillator_brackets, pair_matrix, relative_hamiltonian
from tf_nqs.whole_numbers import finite_number, whole_number

# Below this a dense solver is faster than ARPACK, which also needs more states than vectors.
_SMALLEST_SPARSE = 64


class GroundState(NamedTuple):
    """A variational ground state whose centre of mass is in the lowest level of the basis.

    Attributes:
        energy: upper bound of the ground-state energy, in hbar omega.
        amplitudes: normalised amplitudes of the determinants, shape (n_states,).
        occupations: their orbitals n = 0, 1, ..., shape (n_states, n_particles), rows ascending.
        frequency: frequency of the basis in units of the trap's.
        cut: largest number of oscillator quanta above the free ground state.
    """

    energy: float
    amplitudes: NDArray[np.float64]
    occupations: NDArray[np.int64]
    frequency: float
    cut: int


def intrinsic_hamiltonian(
    occupations: NDArray[np.int64],
    interaction_strength: float,
    interaction_range: float,
    frequency: float,
) -> LinearOperator:
    """Returns 1/2 + H_intrinsic + N_cm on a list of determinants, in hbar omega.

    N_cm counts centre-of-mass quanta of the basis and keeps the lowest state free of them. With
    frequency 1 the operator is the full Hamiltonian.

    Args:
        occupations: from `determinant_list`, shape (n_states, A), A >= 2.
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho.
        frequency: frequency of the basis in units of the trap's.

    Returns:
        Symmetric operator of shape (n_states, n_states).
    """
    n_states, n_particles = occupations.shape
    insert, blocks = remove_pairs(occupations)
    remove = insert.T
    sums = occupations.sum(axis=1)
    largest_pair = int(sums.max()) - (n_particles - 2) * (n_particles - 3) // 2
    n = np.arange(largest_pair + 1)
    relative = relative_hamiltonian(len(n), n_particles, interaction_strength, interaction_range, frequency)
    # All quanta are N_cm + (2 / A) sum_(i<j) n_ij, so that N_cm is a pair operator and a diagonal.
    relative[n, n] -= 2.0 * n / n_particles
    brackets = oscillator_brackets(largest_pair)
    matrices = [pair_matrix(relative, brackets, parity) for parity in (0, 1)]
    diagonal = 0.5 + sums
    product = np.empty(insert.shape[1])

    def apply(amplitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        amplitudes = amplitudes.reshape(n_states)
        pairs = remove @ amplitudes
        for block in blocks:
            slots = slice(block.start, block.start + block.n_pairs * block.n_rests)
            table = (block.n_pairs, block.n_rests)
            matrix = matrices[block.parity][: block.n_pairs, : block.n_pairs]
            np.matmul(matrix, pairs[slots].reshape(table), out=product[slots].reshape(table))
        return insert @ product + diagonal * amplitudes

    return LinearOperator((n_states, n_states), matvec=apply, dtype=np.float64)


def ground_state(
    n_particles: int,
    interaction_strength: float,
    interaction_range: float,
    *,
    cut: int,
    frequency: float = 1.0,
    start: NDArray[np.float64] | None = None,
) -> GroundState:
    """Returns the lowest state of the ground state's parity sector below one energy cut.

    Args:
        n_particles: number of fermions A, an integer >= 2.
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho, > 0.
        cut: largest number of oscillator quanta above the free ground state, >= 0.
        frequency: frequency of the basis in units of the trap's, > 0.
        start: initial amplitudes, of a lower cut, shape (at most n_states,).

    Returns:
        The state; its energy falls with the cut.

    Raises:
        ValueError: if an argument is out of its range.
    """
    n_particles = whole_number("n_particles", n_particles, 2)
    strength = finite_number("interaction_strength", interaction_strength)
    width = finite_number("interaction_range", interaction_range, 0)
    frequency = finite_number("frequency", frequency, 0)
    cut = whole_number("cut", cut)
    occupations = determinant_list(n_particles, cut, parity=0)
    hamiltonian = intrinsic_hamiltonian(occupations, strength, width, frequency)
    guess = np.zeros(len(occupations))
    guess[: 1 if start is None else len(start)] = 1.0 if start is None else start
    energy, amplitudes = lowest_state(hamiltonian, guess)
    return GroundState(energy=energy, amplitudes=amplitudes, occupations=occupations, frequency=frequency, cut=cut)


def lowest_state(hamiltonian: LinearOperator, guess: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Returns the lowest eigenvalue of a symmetric operator and its eigenvector.

    Args:
        hamiltonian: operator of shape (n_states, n_states).
        guess: initial vector of norm 1, shape (n_states,).

    Returns:
        The eigenvalue, and the normalised eigenvector of shape (n_states,).
    """
    n_states = len(guess)
    if n_states < _SMALLEST_SPARSE:
        levels, vectors = np.linalg.eigh(hamiltonian @ np.eye(n_states))
        return float(levels[0]), vectors[:, 0]
    # ARPACK's tolerance is relative to the eigenvalue: keep it away from zero. The energy's
    # error is the square of the residual, 1e-6 here, over the gap: about 1e-12.
    offset = float(guess @ (hamiltonian @ guess)) + 10.0
    shifted = LinearOperator(hamiltonian.shape, matvec=lambda v: hamiltonian @ v - offset * v, dtype=np.float64)
    levels, vectors = eigsh(shifted, k=1, which="SA", v0=guess, tol=1e-7)
    return float(levels[0] + offset), vectors[:, 0]
