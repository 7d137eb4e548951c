"""Samplers of |Psi|^2."""

from tf_nqs.sampling.metropolis import MetropolisHastings

__all__ = ["MetropolisHastings"]
