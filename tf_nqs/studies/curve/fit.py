"""A smooth curve through measured energies: its slope and curvature, whose errors hold what the fit may leave out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from tf_nqs.types import Estimate

_FEWEST_POINTS = 4
"""A parabola through fewer points has nothing left to judge it by."""

_LARGEST_DEGREE = 24

_SMALLEST_ERROR = 0.1
"""Relative to the median error of the points: an exact one, such as that of free fermions, is not alone to count."""


class Fit(NamedTuple):
    """A polynomial through energies.

    Attributes:
        coefficients: of Chebyshev polynomials on [-1, 1], by rising degree.
        covariance: of the coefficients.
        middle: what is 0 there, in units of the parameter.
        half_width: what is 1 there.
        wider: coefficients of fits of the next degrees, whose differences say what this one may leave out.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    middle: float
    half_width: float
    wider: tuple[np.ndarray, ...]

    def derivative(self, parameter: np.ndarray, order: int = 0) -> Estimate:
        """Returns the curve, or a derivative of it, with its standard error.

        Args:
            parameter: where, shape (n,), within the range of the points.
            order: 0 for the curve, 1 for its slope, 2 for its curvature.
        """
        scaled = (np.asarray(parameter, np.float64) - self.middle) / self.half_width
        factor = self.half_width**-order

        def value(coefficients: np.ndarray) -> np.ndarray:
            return factor * chebyshev.chebval(scaled, chebyshev.chebder(coefficients, order))

        size = len(self.coefficients)
        basis = np.stack([value(row) for row in np.eye(size)], axis=-1)
        found = basis @ self.coefficients
        square = np.einsum("ni,ij,nj->n", basis, self.covariance, basis)
        left_out = np.max([np.abs(value(one) - found) for one in self.wider], axis=0)
        return Estimate(found, np.sqrt(square + left_out**2))


def fit_curve(parameter: np.ndarray, energies: np.ndarray, errors: np.ndarray) -> Fit | None:
    """Returns a polynomial through energies, its degree chosen by how well it predicts.

    Weighted least squares in Chebyshev polynomials. With chi^2 of each degree, the one with the smallest
    chi^2/s^2 + 2 k + 2 k (k + 1)/(n - k - 1) is found, for k coefficients and n points (Akaike's criterion), and the
    next higher one is taken: what the criterion's own leaves out is often as large as its error. Here s^2 is the
    smallest chi^2/(n - k), at least 1: points that scatter by more than their errors, such as energies of separate
    trainings, enlarge the errors of the curve by s. The largest change by the next two degrees is added in squares.

    Args:
        parameter: where the energies were measured, shape (n,), in any order.
        energies: in hbar*omega, shape (n,).
        errors: their standard errors, shape (n,). Points whose energy or error is not finite are left out.

    Returns:
        The fit; None for fewer than four values of the parameter.

    Reference: Hurvich and Tsai, Biometrika 76, 297 (1989); Birge, Phys. Rev. 40, 207 (1932), on s.
    """
    is_known = np.isfinite(energies) & np.isfinite(errors)
    x, y, error = (np.asarray(one, np.float64)[is_known] for one in (parameter, energies, errors))
    n_places = len(np.unique(x))
    if n_places < _FEWEST_POINTS:
        return None
    middle, half_width = 0.5 * (x.min() + x.max()), 0.5 * (x.max() - x.min())
    sigma = np.maximum(error, _SMALLEST_ERROR * np.median(error))
    sigma = sigma if np.median(error) > 0 else np.ones_like(error)
    degrees = range(1, min(_LARGEST_DEGREE, n_places - 1) + 1)
    fits = [_least_squares((x - middle) / half_width, y, sigma, degree) for degree in degrees]
    best, spread = _choose(np.array([one.chi_squared for one in fits[:-2]]), len(x))
    chosen, wider = fits[best], tuple(one.coefficients for one in fits[best + 1 : best + 3])
    return Fit(chosen.coefficients, chosen.covariance * spread, middle, half_width, wider)


def _choose(chi_squared: np.ndarray, n_points: int) -> tuple[int, float]:
    """Returns which of some fits of degree 1, 2, ... to take, and the factor s^2 on its covariance."""
    sizes = np.arange(len(chi_squared)) + 2.0
    free = n_points - sizes
    scale = max(1.0, float(np.min(chi_squared / free)))
    best = int(np.argmin(chi_squared / scale + 2 * sizes + 2 * sizes * (sizes + 1) / np.maximum(free - 1, 0.5)))
    best = min(best + 1, len(chi_squared) - 1)
    return best, max(scale, float(chi_squared[best] / free[best]))


class _LeastSquares(NamedTuple):
    coefficients: np.ndarray
    covariance: np.ndarray
    chi_squared: float


def _least_squares(scaled: np.ndarray, y: np.ndarray, sigma: np.ndarray, degree: int) -> _LeastSquares:
    design = chebyshev.chebvander(scaled, degree) / sigma[:, np.newaxis]
    inverse = np.linalg.pinv(design)
    coefficients = inverse @ (y / sigma)
    residuals = y / sigma - design @ coefficients
    return _LeastSquares(coefficients, inverse @ inverse.T, float(residuals @ residuals))
