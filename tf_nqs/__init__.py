"""Ground states of trapped one-dimensional fermions with neural quantum states, in TensorFlow and Keras.

Public names are imported on first use, so that `import tf_nqs` and the command line's `--help` do not wait for
TensorFlow. What must not wait for it, that Keras can read files with our layers in them, is in `runtime.registration`.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "FermionAnsatz": "tf_nqs.ansatz",
    "FermionFamily": "tf_nqs.physics",
    "JastrowAnsatz": "tf_nqs.ansatz",
    "MetropolisHastings": "tf_nqs.sampling",
    "TrappedFermions": "tf_nqs.physics",
    "VariationalMonteCarlo": "tf_nqs.training",
    "Settings": "tf_nqs.config",
    "export": "tf_nqs.saved_model.export",
    "load": "tf_nqs.experiment.build",
    "pretrained": "tf_nqs.experiment.pretrained",
    "reference_energy": "tf_nqs.exact",
    "run": "tf_nqs.experiment.run",
    "transfer_from": "tf_nqs.experiment.transfer",
}
_ROOMS = ("analysis", "callbacks", "config", "exact", "layers", "observables", "physics", "sampling", "training")
_PACKAGES = {name: f"tf_nqs.{name}" for name in _ROOMS} | {"tuning": "tf_nqs.studies.tuning"}

__all__ = [*_PUBLIC, *_PACKAGES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(_PACKAGES[name])
    raise AttributeError(f"module 'tf_nqs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


importlib.import_module("tf_nqs.runtime.registration").watch_imports()
