"""Samplers of |Psi|^2."""

from tf_nqs.sampling.check import check_sampler
from tf_nqs.sampling.choice import make_sampler
from tf_nqs.sampling.langevin import MetropolisAdjustedLangevin
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.sampling.reweighting import ReusePolicy, SampleReason
from tf_nqs.sampling.sampler import Sampler

__all__ = [
    "MetropolisAdjustedLangevin",
    "MetropolisHastings",
    "ReusePolicy",
    "SampleReason",
    "Sampler",
    "SamplerProtocol",
    "check_sampler",
    "make_sampler",
]
