"""Wave functions, the check that they are antisymmetric, and their derivatives."""

from tf_nqs.ansatz.fermion import FermionAnsatz

__all__ = ["FermionAnsatz"]
