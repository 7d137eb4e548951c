"""Two-body matrix elements of an oscillator basis, from the relative motion of the pair."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import roots_hermite

from tf_nqs.exact.free_fermions import oscillator_orbitals


def relative_gaussian(
    n_levels: int, interaction_strength: float, interaction_range: float, frequency: float
) -> NDArray[np.float64]:
    """Returns <n| V |m> of the pair interaction in the relative oscillator basis, in hbar omega.

    V = V0 / (sqrt(2 pi) sigma0) exp(-r^2 / sigma0^2), r = (x_1 - x_2) / sqrt(2). The Gaussian becomes
    part of the weight of the Gauss-Hermite rule, which is then exact for the remaining polynomial.

    Args:
        n_levels: number of levels n = 0, 1, ...
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho.
        frequency: frequency of the basis in units of the trap's.

    Returns:
        Array of shape (n_levels, n_levels).
    """
    sharpness = 1.0 / (frequency * interaction_range**2)
    nodes = roots_hermite(n_levels)[0]
    # Christoffel's form of weight * exp(node^2): no underflow for any number of nodes.
    weights = 1.0 / np.sum(oscillator_orbitals(n_levels, nodes) ** 2, axis=0)
    r = nodes / np.sqrt(1.0 + sharpness)
    height = interaction_strength / (np.sqrt(2.0 * np.pi) * interaction_range)
    weights = weights * height * np.exp(-sharpness * r * r) / np.sqrt(1.0 + sharpness)
    orbitals = oscillator_orbitals(n_levels, r)
    return (orbitals * weights) @ orbitals.T


def relative_hamiltonian(
    n_levels: int,
    n_particles: int,
    interaction_strength: float,
    interaction_range: float,
    frequency: float,
) -> NDArray[np.float64]:
    """Returns each pair's share of the intrinsic Hamiltonian in the relative oscillator basis.

    H - H_cm = sum_(i<j) h(r_ij), h = (p^2 + r^2) / A + V(r): kinetic energy and trap energy without
    the centre of mass are sums over pairs, too.

    Args:
        n_levels: number of levels n = 0, 1, ...
        n_particles: number of fermions A.
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho.
        frequency: frequency of the basis in units of the trap's.

    Returns:
        Array of shape (n_levels, n_levels), in hbar omega.
    """
    n = np.arange(n_levels)
    hamiltonian = relative_gaussian(n_levels, interaction_strength, interaction_range, frequency)
    hamiltonian[n, n] += (frequency + 1.0 / frequency) * (n + 0.5) / n_particles
    low = n[:-2]
    step = (1.0 / frequency - frequency) * np.sqrt((low + 1.0) * (low + 2.0)) / (2.0 * n_particles)
    hamiltonian[low, low + 2] += step
    hamiltonian[low + 2, low] += step
    return hamiltonian


def oscillator_brackets(largest_sum: int) -> list[NDArray[np.float64]]:
    """Returns the brackets between two particles' orbitals and relative + centre-of-mass motion.

    brackets[S][n_1, n] = <n_1, S - n_1 | n, S - n>, with n quanta in r = (x_1 - x_2) / sqrt(2) and
    S - n in (x_1 + x_2) / sqrt(2). Built shell by shell from
    S |n, N> = (sqrt(n) a_r^+ |n-1, N> + sqrt(N) a_c^+ |n, N-1>); the mean of the two recursions damps
    rounding errors, which grow in each of them alone.

    Args:
        largest_sum: largest n_1 + n_2.

    Returns:
        List over S = 0..largest_sum of orthogonal matrices of shape (S + 1, S + 1).
    """
    brackets = [np.ones((1, 1))]
    for total in range(1, largest_sum + 1):
        root = np.sqrt(np.arange(total + 1.0))
        lower = brackets[-1]
        first = np.zeros((total + 1, total))
        first[1:] = root[1:, None] * lower  # a_1^+ on every state of the shell below
        second = np.zeros((total + 1, total))
        second[:-1] = root[:0:-1, None] * lower  # a_2^+
        bracket = np.zeros((total + 1, total + 1))
        bracket[:, 1:] += root[1:] * (first - second)
        bracket[:, :-1] += root[:0:-1] * (first + second)
        brackets.append(bracket / (np.sqrt(2.0) * total))
    return brackets


def pair_matrix(relative: NDArray[np.float64], brackets: list[NDArray[np.float64]], parity: int) -> NDArray[np.float64]:
    """Returns the antisymmetrised matrix elements of a relative operator between pairs.

    <n_1 n_2| h |n_3 n_4>_A = 2 sum_(n, n' odd, N) <n_1 n_2|n N> h_(n n') <n' N|n_3 n_4>.

    Args:
        relative: h in the relative basis, shape (largest_sum + 1, largest_sum + 1).
        brackets: from `oscillator_brackets(largest_sum)`.
        parity: (n_1 + n_2) mod 2.

    Returns:
        Array of shape (n_pairs, n_pairs); pairs n_1 < n_2 by ascending n_1 + n_2, then n_1, so that
        the matrix of a lower largest sum is the upper left corner of this one.
    """
    sums = [total for total in range(parity, len(brackets), 2) if total > 0]
    sizes = [(total + 1) // 2 for total in sums]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    odd = [np.arange(1, total + 1, 2) for total in sums]
    # Odd relative states are antisymmetric already: half of the rows, n_1 < n_2, times sqrt(2).
    halves = [np.sqrt(2.0) * brackets[total][:size, n] for total, size, n in zip(sums, sizes, odd, strict=True)]
    matrix = np.empty((starts[-1], starts[-1]))
    for i, total in enumerate(sums):
        rows = slice(starts[i], starts[i + 1])
        for j in range(i + 1):
            columns = slice(starts[j], starts[j + 1])
            # Same centre-of-mass quanta N: the larger shell has n = n' + (difference of the sums).
            n_low = odd[j]
            n_high = n_low + total - sums[j]
            block = (halves[i][:, n_high // 2] * relative[n_high, n_low]) @ halves[j].T
            matrix[rows, columns] = block
            matrix[columns, rows] = block.T
    return matrix
