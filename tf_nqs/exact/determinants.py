"""Slater determinants of oscillator orbitals below an energy cut, and the removal of pairs."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


def determinant_list(n_particles: int, cut: int, parity: int) -> NDArray[np.int64]:
    """Returns the occupied orbitals of all determinants up to an energy cut.

    Sorted by energy, so that the list of a lower cut is the beginning of the list of a higher one.

    Args:
        n_particles: number of fermions A.
        cut: largest number of oscillator quanta above the free ground state.
        parity: number of these quanta mod 2 (0 is the parity of the free ground state).

    Returns:
        Integer array of shape (n_states, n_particles), each row ascending.
    """
    # Quanta by which particle i lies above orbital i form an ascending sequence.
    quanta = np.zeros((1, 0), dtype=np.int64)
    for place in range(n_particles):
        lowest = quanta[:, -1] if place else np.zeros(1, dtype=np.int64)
        room = cut - quanta.sum(axis=1)
        n_choices = room // (n_particles - place) - lowest + 1
        parent = np.repeat(np.arange(len(quanta)), n_choices)
        first = np.cumsum(n_choices) - n_choices
        step = np.arange(len(parent)) - first[parent]
        quanta = np.column_stack([quanta[parent], lowest[parent] + step])
    total = quanta.sum(axis=1)
    quanta, total = quanta[total % 2 == parity], total[total % 2 == parity]
    order = np.lexsort((*quanta.T, total))
    return quanta[order] + np.arange(n_particles)


def count_determinants(n_particles: int, cut: int) -> NDArray[np.int64]:
    """Returns the number of determinants with exactly 0, 1, ..., cut quanta.

    Args:
        n_particles: number of fermions A.
        cut: largest number of oscillator quanta above the free ground state.

    Returns:
        Integer array of shape (cut + 1,): partitions into at most A parts.
    """
    count = np.zeros(cut + 1, dtype=np.int64)
    count[0] = 1
    for part in range(1, n_particles + 1):
        for quanta in range(part, cut + 1):
            count[quanta] += count[quanta - part]
    return count


class Block(NamedTuple):
    """Pair x rest states whose rest, the other A - 2 particles, has one sum of orbitals.

    Attributes:
        n_pairs: number of pairs: the first ones of their parity by ascending sum.
        n_rests: number of determinants of the other particles.
        parity: parity of the pairs' sum of orbitals.
        start: first slot of the block; its slots are an (n_pairs, n_rests) table in C order.
    """

    n_pairs: int
    n_rests: int
    parity: int
    start: int


def remove_pairs(
    occupations: NDArray[np.int64],
) -> tuple[csr_matrix, list[Block]]:
    """Returns the map B from determinants to pair x rest states, B |D> = sum_pairs +-|pair, rest>.

    A two-body operator is then B^T (pair matrix x 1) B: dense small matrices on contiguous blocks,
    never a sparse matrix of A-particle states.

    Args:
        occupations: determinants of one parity sector, shape (n_states, A), rows ascending, A >= 2.

    Returns:
        Transpose of B, shape (n_states, n_slots) with A (A - 1) / 2 entries +-1 in each row, and
        the blocks of slots.
    """
    n_states, n_particles = occupations.shape
    n_orbitals = int(occupations.max()) + 1
    sums = occupations.sum(axis=1)
    largest_sum = int(sums.max())
    places = list(combinations(range(n_particles), 2))
    rest_sums = np.empty((n_states, len(places)), dtype=np.int64)
    keys = np.empty_like(rest_sums)
    for column, pair in enumerate(places):
        rest = np.delete(occupations, pair, axis=1)
        rest_sums[:, column] = keys[:, column] = rest.sum(axis=1)
        for orbital in rest.T:  # the sum is the leading part of the key, so that equal sums are adjacent
            keys[:, column] = keys[:, column] * n_orbitals + orbital
    _, first, rest_index = np.unique(keys, return_index=True, return_inverse=True)
    sums_of_rests = rest_sums.ravel()[first]
    blocks, block_of_rest = _blocks(sums_of_rests, largest_sum)
    rest_index = rest_index.reshape(keys.shape)
    first_rest = np.searchsorted(sums_of_rests, sums_of_rests)
    start, n_rests = (np.array([getattr(b, name) for b in blocks]) for name in ("start", "n_rests"))
    block = block_of_rest[rest_index]
    pair_index = np.stack([_pair_index(*occupations[:, pair].T) for pair in places], axis=1)
    slots = start[block] + pair_index * n_rests[block] + rest_index - first_rest[rest_index]
    signs = np.array([(-1.0) ** (i + j + 1) for i, j in places])
    n_slots = blocks[-1].start + blocks[-1].n_pairs * blocks[-1].n_rests
    data = np.broadcast_to(signs, slots.shape).ravel()
    row_starts = np.arange(n_states + 1) * len(places)
    matrix = csr_matrix((data, slots.ravel(), row_starts), shape=(n_states, n_slots))
    return matrix, blocks


def _blocks(sums_of_rests: NDArray[np.int64], largest_sum: int) -> tuple[list[Block], NDArray[np.int64]]:
    """Returns one block per sum of orbitals of the rest, and each rest's block.

    Args:
        sums_of_rests: ascending sums of orbitals, shape (n_rests,).
        largest_sum: largest sum of orbitals of all A particles; it fixes their parity.

    Returns:
        The blocks, and an integer array of shape (n_rests,).
    """
    rest_sums, block_of_rest, counts = np.unique(sums_of_rests, return_inverse=True, return_counts=True)
    blocks, start = [], 0
    for rest_sum, n_rests in zip(rest_sums, counts, strict=True):
        pair_sum = int(largest_sum - rest_sum)
        n_pairs = count_pairs(pair_sum)
        blocks.append(Block(n_pairs=n_pairs, n_rests=int(n_rests), parity=pair_sum % 2, start=start))
        start += n_pairs * int(n_rests)
    return blocks, block_of_rest


def count_pairs(largest_sum: int) -> int:
    """Returns the number of pairs n_1 < n_2 with n_1 + n_2 <= largest_sum, of its parity."""
    return sum((total + 1) // 2 for total in range(largest_sum, 0, -2))


def _pair_index(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the rows of `pair_matrix` that belong to the pairs (low, high)."""
    total = low + high
    half = total // 2
    before = np.where(total % 2 == 0, half * (half - 1) // 2, half * (half + 1) // 2)
    return before + low
