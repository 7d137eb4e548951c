"""Random-walk Metropolis."""

from __future__ import annotations

import tensorflow_probability as tfp

from tf_nqs import defaults
from tf_nqs.sampling.sampler import Sampler
from tf_nqs.types import LogAbsPsi, Tensor


class MetropolisHastings(Sampler):
    """Proposes x' = x + sigma N(0, 1), with sigma the proposal width: all particles of a walker move at once.

    Arguments are those of `Sampler`.

    Reference: thesis, Sec. 2.3.2.
    """

    name = "metropolis"
    default_acceptance = defaults.TARGET_ACCEPTANCE[name]
    takes_noise = True
    takes_gradient = False

    def kernel(self, log_probability: LogAbsPsi, proposal_width: Tensor, noise: Tensor) -> tfp.mcmc.TransitionKernel:
        """Returns TFP's random walk, which accepts or rejects the move that the noise proposes."""

        def move(parts: list[Tensor], seed: Tensor) -> list[Tensor]:
            del seed
            return [positions + proposal_width * noise for positions in parts]

        return tfp.mcmc.RandomWalkMetropolis(log_probability, move)
