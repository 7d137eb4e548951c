"""Wave functions, the check that they are antisymmetric, and their derivatives."""

from tf_nqs.ansatz.fermion import FermionAnsatz
from tf_nqs.ansatz.jastrow import JastrowAnsatz

__all__ = ["FermionAnsatz", "JastrowAnsatz"]
