"""Wave functions, one per file."""

from tf_nqs.ansatz.fermion import FermionAnsatz

__all__ = ["FermionAnsatz"]
