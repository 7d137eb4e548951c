"""Keras layers of the wave functions, one per file."""

from tf_nqs.layers.condition_shift import ConditionShift
from tf_nqs.layers.envelope import LogEnvelope
from tf_nqs.layers.equivariant import EquivariantLayer
from tf_nqs.layers.gaussian import GaussianFactor
from tf_nqs.layers.orbitals import OrbitalLayer
from tf_nqs.layers.pair_messages import PairMessages
from tf_nqs.layers.pair_network import PairNetwork
from tf_nqs.layers.slater_determinant import SlaterDeterminant
from tf_nqs.layers.symmetric_head import SymmetricHead
from tf_nqs.layers.vandermonde import VandermondeFactor

__all__ = [
    "ConditionShift",
    "EquivariantLayer",
    "GaussianFactor",
    "LogEnvelope",
    "OrbitalLayer",
    "PairMessages",
    "PairNetwork",
    "SlaterDeterminant",
    "SymmetricHead",
    "VandermondeFactor",
]
