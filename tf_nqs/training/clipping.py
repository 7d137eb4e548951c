"""Clipping that ends by itself: tight while training starts, ever wider later."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.ansatz.named import kind_of
from tf_nqs.named_ansatze import recipe
from tf_nqs.physics.energy import clip_local_energy
from tf_nqs.types import Tensor

_WIDEST = 1e6
"""Deviations that clip nothing any more, and stay finite in float32."""


def doubling_iterations_for(ansatz: object, of_family: bool, given: int | None = None) -> int:
    """Returns the iterations in which the deviations double.

    Args:
        ansatz: the wave function.
        of_family: whether it is that of a family of systems.
        given: their number; None for what suits the wave function.
    """
    if given is not None:
        return given
    return recipe(kind_of(ansatz), defaults.OPTIMIZER, of_family).clip_doubling_iterations


class Clipping:
    """Clips local energies at a number of deviations that doubles periodically, see `clip_local_energy`.

    At the start a few walkers next to nodes would decide the step. Later the same bound would hide what must still be
    learned: regions with little of |Psi|^2 and much energy, which a clipped gradient lets stand, or even grow.

    Args:
        deviations: mean absolute deviations from the median, at the start; 0 for no clipping at all.
        doubling_iterations: iterations in which they double; 0 for always the same.
        rule: cuts (local energies, weights, deviations); `clip_local_energy`, or one for other samples.

    Raises:
        ValueError: an argument is below 0.
    """

    def __init__(
        self,
        deviations: float = defaults.CLIP_DEVIATIONS,
        doubling_iterations: int = defaults.CLIP_DOUBLING_ITERATIONS,
        rule: Callable[[Tensor, Tensor, float | Tensor], Tensor] = clip_local_energy,
    ):
        for name, value in (("clip_deviations", deviations), ("clip_doubling_iterations", doubling_iterations)):
            if not value >= 0:
                raise ValueError(f"{name} = {value}: must be at least 0")
        self.deviations = deviations
        self.doubling_iterations = doubling_iterations
        self.rule = rule

    def __call__(self, local_energy: Tensor, weights: Tensor, iteration: Tensor) -> Tensor:
        """Returns the clipped local energies, shape (n_walkers,), in hbar*omega.

        Args:
            local_energy: e_L, shape (n_walkers,), in hbar*omega.
            weights: R, shape (n_walkers,).
            iteration: number of iterations done.
        """
        deviations = self.deviations
        if deviations and self.doubling_iterations:
            doublings = tf.cast(iteration, local_energy.dtype) / self.doubling_iterations
            # The exponent is bounded first: 2^doublings overflows in a long run.
            deviations = tf.minimum(deviations * 2 ** tf.minimum(doublings, 100), _WIDEST)
        return self.rule(local_energy, weights, deviations)
