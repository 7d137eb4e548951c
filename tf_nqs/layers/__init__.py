"""Keras layers of the ansatz, one per file."""

from tf_nqs.layers.envelope import LogEnvelope
from tf_nqs.layers.equivariant import EquivariantLayer
from tf_nqs.layers.orbitals import OrbitalLayer
from tf_nqs.layers.slater_determinant import SlaterDeterminant

__all__ = ["EquivariantLayer", "LogEnvelope", "OrbitalLayer", "SlaterDeterminant"]
