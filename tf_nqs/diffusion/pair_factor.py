"""A factor for each pair of particles, by which a guide keeps them apart or together as two of them alone would be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.interpolate import PPoly, make_interp_spline
from scipy.linalg import eigh_tridiagonal

from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.types import Tensor

_N_POINTS, _N_CELLS = 4000, 400
"""Points that the two-body problem is solved on, and cells of the table of its solution."""

_LENGTH = 12.0
"""Where the grid ends, in oscillator lengths of the pair."""

_LEAST_TAIL, _LEAST_CORE = 1e-6, 1e-12
"""Shares of its maximum below which the solution is not used, far away and near contact: rounding spoils it there."""


class PairFactor(NamedTuple):
    """U(r) of a factor exp(U(|x_i - x_j|)): a piecewise polynomial, continued as a logarithm of r.

    Attributes:
        coefficients: of (r - start of the cell)^k, k = 0 to 5, shape (n_cells, 6); an array or a tensor.
        cell: length of a cell, in a_ho; a number or a tensor.
        frequency: of the trap in which the two-body problem was solved, in omega.
    """

    coefficients: Tensor
    cell: Tensor
    frequency: float

    def derivatives(self, distances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns U, U' and U'' at distances r >= 0 in a_ho, each of their shape."""
        n_cells, dtype = self.coefficients.shape[0], distances.dtype
        cell = tf.cast(self.cell, dtype)
        length = cell * n_cells
        inside = tf.minimum(distances, length)
        number = tf.minimum(tf.cast(inside / cell, tf.int32), n_cells - 1)
        a0, a1, a2, a3, a4, a5 = tf.unstack(tf.gather(tf.cast(self.coefficients, dtype), number), axis=-1)
        t = inside - cell * tf.cast(number, dtype)
        value = a0 + t * (a1 + t * (a2 + t * (a3 + t * (a4 + t * a5))))
        slope = a1 + t * (2 * a2 + t * (3 * a3 + t * (4 * a4 + t * 5 * a5)))
        curvature = 2 * a2 + t * (6 * a3 + t * (12 * a4 + t * 20 * a5))
        # The solution in a trap falls as a power of r times a Gaussian.
        outside = tf.maximum(distances, length)
        is_outside = distances > length
        return (
            value + slope * length * tf.math.log(outside / length),
            tf.where(is_outside, slope * length / outside, slope),
            tf.where(is_outside, -slope * length / outside**2, curvature),
        )


def pair_factor(system: TrappedFermions, frequency: float) -> PairFactor | None:
    """Returns the factor of two particles in a harmonic trap, made of their exact relative motion.

    With r = x_1 - x_2 and the trap's frequency w it is the lowest solution of

        -f'' + [l(l-1)/r^2 + v(r) + w^2 r^2/4] f = e f,    f = r^l exp(-w r^2/4 + U(r)),

    so that for w = 1 and two particles in the trap the guide is exact. A larger w makes the factor shorter-ranged,
    which suits many particles.

    Args:
        system: the Hamiltonian, of any number of particles.
        frequency: w, in omega.

    Returns:
        The factor; None where the solution cannot be told from rounding, next to a very high barrier.
    """
    exponent, length = system.contact_exponent, _LENGTH / np.sqrt(frequency)
    step = length / (_N_POINTS + 1)
    r = step * np.arange(1, _N_POINTS + 1)
    potential = np.asarray(system.regular_pair_energy(tf.constant(r))) + (frequency * r) ** 2 / 4
    diagonal = 2 / step**2 + potential + exponent * (exponent - 1) / r**2
    if not np.all(np.isfinite(diagonal)):
        return None
    neighbours = np.full(_N_POINTS - 1, -1 / step**2)
    f = np.abs(eigh_tridiagonal(diagonal, neighbours, select="i", select_range=(0, 0))[1][:, 0])
    n_used = int(np.flatnonzero(f > _LEAST_TAIL * f.max())[-1]) + 1
    if f[:n_used].min() < _LEAST_CORE * f.max():
        return None
    r, f = r[:n_used], f[:n_used]
    return _tabulated(r, np.log(f) - exponent * np.log(r) + frequency * r**2 / 4, frequency)


def _tabulated(r: np.ndarray, logarithms: np.ndarray, frequency: float) -> PairFactor:
    """Returns an even function of r, known on a grid, as a table of `_N_CELLS` cells."""
    cell = float(r[-1]) / _N_CELLS
    nodes = cell * np.arange(1, _N_CELLS + 1)
    pieces = _even_spline(nodes, _even_spline(r, logarithms)(nodes))
    starts = cell * np.arange(_N_CELLS)
    derivatives = [pieces.derivative(order)(starts) for order in range(6)]
    return PairFactor(np.stack(derivatives, axis=1) / np.array([1, 1, 2, 6, 24, 120]), cell, frequency)


def _even_spline(r: np.ndarray, values: np.ndarray) -> PPoly:
    mirrored = np.concatenate([-r[::-1], r]), np.concatenate([values[::-1], values])
    return PPoly.from_spline(make_interp_spline(*mirrored, k=5))
