"""Derivatives of the first layer's output, kept in the few terms that they are made of."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tf_nqs.types import Jet, Tensor


class SeparableJet(NamedTuple):
    """Features of particles that have met each other only through one mean: d_k h_i = delta_ik own_i + shared_i.

    So it is after the first equivariant layer. Products with A^2 derivatives per walker become products with 2A terms.

    Attributes:
        value: shape (n_walkers, n_particles, features).
        own: derivative by the particle's own coordinate, without `shared`; same shape.
        shared: derivative by the coordinate of any particle, through the mean; same shape.
        laplacian: sum_k d_k^2 value; same shape.
    """

    value: Tensor
    own: Tensor
    shared: Tensor
    laplacian: Tensor

    def expanded(self, by_other: Tensor | float = 0.0) -> Jet:
        """Returns the jet with all its A^2 derivatives.

        Args:
            by_other: added to d_k h_i, broadcastable to (n_walkers, n_directions, n_particles, features).
        """
        is_own = tf.eye(self.value.shape[1], dtype=self.value.dtype)[None, :, :, None]
        jacobian = is_own * self.own[:, None] + (self.shared[:, None] + by_other)
        return Jet(self.value, jacobian, self.laplacian)
