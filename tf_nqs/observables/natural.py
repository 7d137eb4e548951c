"""Natural orbitals and their occupations: eigenvectors and eigenvalues of the one-body density matrix."""

from __future__ import annotations

import numpy as np

_REPULSION = 5.0
"""Distance of equal occupations in units of the noise between their orbitals, hardly ever exceeded by a pair."""


_EQUAL = 1e-3
"""Relative distance of neighbouring occupations up to which they are taken for equal."""


def natural_occupations(matrix: np.ndarray, even: bool) -> np.ndarray:
    """Returns the eigenvalues, descending; for an even system those of even, then those of odd orbitals.

    Kept apart, the two kinds do not repel each other: occupations of even and odd orbitals may be equal, for two
    particles all of them are in pairs, and noise would spread the eigenvalues of a matrix that mixes them.

    Args:
        matrix: in the grid's basis, shape (n_places, n_places), n_places odd; if even, symmetric under the mirror.
        even: whether orbitals have a parity.
    """
    blocks = _parity_blocks(matrix) if even else (matrix,)
    return np.concatenate([np.linalg.eigvalsh(block)[::-1] for block in blocks])


def natural_orbitals(matrix: np.ndarray, even: bool) -> np.ndarray:
    """Returns the eigenvectors in the order of `natural_occupations`, a row each; positive where first large."""
    n_places = len(matrix)
    middle = n_places // 2
    if not even:
        orbitals = np.linalg.eigh(matrix)[1][:, ::-1].T
    else:
        in_even, in_odd = (np.linalg.eigh(block)[1][:, ::-1] for block in _parity_blocks(matrix))
        orbitals = np.zeros((n_places, n_places))
        orbitals[: middle + 1, middle] = in_even[0]
        for sign, rows, half in ((1, slice(0, middle + 1), in_even[1:]), (-1, slice(middle + 1, None), in_odd)):
            orbitals[rows, middle + 1 :] = half.T / np.sqrt(2.0)
            orbitals[rows, :middle] = sign * half.T[:, ::-1] / np.sqrt(2.0)
    first_large = np.argmax(np.abs(orbitals) > 0.5 * np.abs(orbitals).max(axis=1, keepdims=True), axis=1)
    return orbitals * np.sign(orbitals[np.arange(n_places), first_large])[:, np.newaxis]


def orbitals_like(matrix: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Returns the eigenvectors of an even system, by descending occupation, as near to given ones as they may be.

    Of an orbital nothing but the sign is free; of several with equal occupations any rotation W is, and the W that
    brings them nearest to the given ones is the orthogonal factor of their overlaps.

    Args:
        matrix: as for `natural_occupations`.
        given: orbitals of nearly the same matrix, by descending occupation, shape (n_places, n_places).
    """
    occupations = natural_occupations(matrix, even=True)
    order = np.argsort(-occupations, kind="stable")
    occupations, orbitals = occupations[order], natural_orbitals(matrix, even=True)[order]
    ends = np.flatnonzero(occupations[1:] < (1.0 - _EQUAL) * occupations[:-1]) + 1
    for rows in np.split(np.arange(len(orbitals)), ends):
        left, _, right = np.linalg.svd(given[rows] @ orbitals[rows].T)
        orbitals[rows] = left @ right @ orbitals[rows]
    return orbitals


def error_with_repulsion(value: np.ndarray, error: np.ndarray, mixing: np.ndarray) -> np.ndarray:
    """Returns the errors of occupations, with what noise may have driven them apart.

    Noise s between two orbitals puts the distance g of their occupations up to (g^2 + 4 s'^2)^(1/2), for equal
    occupations from 0 to about 5 s, and no leaving out of groups tells this from a true distance. Half of
    g - (g^2 - 25 s^2)^(1/2) is added in quadrature for every other orbital: all of the distance from their mean for
    occupations that may be equal, hardly anything for those well apart.

    Args:
        value: occupations, shape (n_orbitals,).
        error: their jackknife errors, shape (n_orbitals,).
        mixing: s, standard errors of the density matrix between natural orbitals, shape (n_orbitals, n_orbitals);
            zero between orbitals that cannot mix.
    """
    gaps = np.abs(value[:, np.newaxis] - value)
    driven = 0.5 * (gaps - np.sqrt(np.maximum(gaps**2 - (_REPULSION * mixing) ** 2, 0.0)))
    return np.sqrt(error**2 + np.sum(np.where(mixing > 0.0, driven, 0.0) ** 2, axis=1))


def _parity_blocks(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the matrix between (e_g + e_-g) / sqrt(2), the middle one first, and between (e_g - e_-g) / sqrt(2)."""
    middle = len(matrix) // 2
    right, crossed = matrix[middle + 1 :, middle + 1 :], matrix[middle + 1 :, middle - 1 :: -1]
    even = np.empty((middle + 1, middle + 1))
    even[0, 0] = matrix[middle, middle]
    even[0, 1:] = even[1:, 0] = np.sqrt(2.0) * matrix[middle, middle + 1 :]
    even[1:, 1:] = right + crossed
    return even, right - crossed
