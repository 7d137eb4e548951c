"""The pair distribution: of two places, and of the distance between them."""

from __future__ import annotations

import numpy as np

LEAST_PRODUCT = 1e-3
"""The pair distribution is given where n(x) n(x') is this share of its largest value: elsewhere nobody ever is."""


def pair_distribution(pair_density: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Returns g(x, x') = n_2(x, x') / (n(x) n(x')); nan where hardly any particle is.

    Args:
        pair_density: n_2(x, x'), shape (n_places, n_places).
        density: n(x), shape (n_places,).
    """
    return pair_density / _where_particles_are(np.multiply.outer(density, density))


def distribution_of_distance(pair_density: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Returns g(r) = int n_2(x, x + r) dx / int n(x) n(x + r) dx; nan where hardly any two particles are so far apart.

    It is 1 where particles do not notice each other, but for the factor (A - 1)/A of all pairs.

    Args:
        pair_density: n_2(x, x') on an evenly spaced grid, shape (n_places, n_places).
        density: n(x), shape (n_places,).

    Returns:
        For r = 0, one spacing, two spacings, ...: shape (n_places,).
    """
    return _by_distance(pair_density) / _where_particles_are(_by_distance(np.multiply.outer(density, density)))


def _by_distance(matrix: np.ndarray) -> np.ndarray:
    """Returns the sum along the diagonal that is k places off the main one, the mean of both, for every k."""
    places = np.arange(len(matrix))
    sums = np.bincount(np.abs(np.subtract.outer(places, places)).ravel(), weights=matrix.ravel())
    return sums / np.where(places == 0, 1.0, 2.0)


def _where_particles_are(product: np.ndarray) -> np.ndarray:
    return np.where(product > LEAST_PRODUCT * product.max(), product, np.nan)
