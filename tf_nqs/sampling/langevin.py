"""The Metropolis-adjusted Langevin algorithm (MALA) with a bounded drift."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tf_nqs import defaults
from tf_nqs.sampling.sampler import Sampler
from tf_nqs.types import LogAbsPsi, Tensor

_LARGEST_DRIFT = 1.0
"""Largest drift of a particle, in proposal widths. Near a node the drift grows like 1/distance: unbounded, it throws
walkers far out, from where no proposal leads back, so that they are rejected and the walker sticks to the node."""


class MetropolisAdjustedLangevin(Sampler):
    """Proposes x' = x + sigma^2/2 grad ln|Psi|^2 + sigma N(0, 1), with sigma the proposal width.

    The drift of each particle is bounded by sigma, and is 0 where the gradient is NaN. The bounded drift d is still a
    function of the position alone, and the same d stands in both proposal densities of the acceptance

        min(1, |Psi(x')|^2 q(x | x') / (|Psi(x)|^2 q(x' | x))),  q(x' | x) = N(x'; x + d(x), sigma^2),

    so detailed balance holds exactly whatever the bound does to it.

    Arguments are those of `Sampler`.

    Reference: G. O. Roberts and R. L. Tweedie, Bernoulli 2, 341 (1996), Sec. 1.4.3 (MALTA).
    """

    name = "mala"
    default_acceptance = defaults.TARGET_ACCEPTANCE[name]
    takes_noise = False
    takes_gradient = True

    def kernel(self, log_probability: LogAbsPsi, proposal_width: Tensor, noise: None) -> tfp.mcmc.TransitionKernel:
        """Returns TFP's Langevin kernel for a log-probability whose gradient is bounded."""
        del noise
        largest = 2 * _LARGEST_DRIFT / proposal_width
        return tfp.mcmc.MetropolisAdjustedLangevinAlgorithm(
            lambda positions: log_probability(_bound_gradient(positions, largest)), step_size=proposal_width**2
        )


@tf.custom_gradient
def _bound_gradient(positions: Tensor, largest: Tensor) -> Tensor:
    """Returns the positions; what is differentiated through them has a gradient within [-largest, largest], not NaN.

    Args:
        positions: shape (n_walkers, n_particles), in a_ho.
        largest: scalar, in 1/a_ho.
    """

    def backward(gradient: Tensor) -> tuple[Tensor, None]:
        known = tf.where(tf.math.is_nan(gradient), tf.zeros_like(gradient), gradient)
        return tf.clip_by_value(known, -largest, largest), None

    return tf.identity(positions), backward
