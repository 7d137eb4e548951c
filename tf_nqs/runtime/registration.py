"""Registers our layers with Keras, and silences TensorFlow's start, when the two packages are imported.

`import tf_nqs` loads neither of them, so a hook in Python's import system waits for them.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import os
import sys
from types import ModuleType
from typing import Any

from tf_nqs.runtime.startup import silenced_stderr

REGISTERED = {
    "AveragedAdam": "tf_nqs.training.optimizers",
    "AveragedSGD": "tf_nqs.training.optimizers",
    "ConditionShift": "tf_nqs.layers",
    "EquivariantLayer": "tf_nqs.layers",
    "FermionAnsatz": "tf_nqs.ansatz",
    "GaussianFactor": "tf_nqs.layers",
    "JastrowAnsatz": "tf_nqs.ansatz",
    "LogEnvelope": "tf_nqs.layers",
    "NaturalGradient": "tf_nqs.training",
    "OrbitalLayer": "tf_nqs.layers",
    "PairMessages": "tf_nqs.layers",
    "PairNetwork": "tf_nqs.layers",
    "SlaterDeterminant": "tf_nqs.layers",
    "SymmetricHead": "tf_nqs.layers",
    "VandermondeFactor": "tf_nqs.layers",
}
"""Class that Keras' files may contain -> module to import it from."""

PACKAGE = "tf_nqs"
"""Package that the classes are registered under."""


def watch_imports() -> None:
    """Lets Keras find our classes when it reads a file, and silences TensorFlow's start, now or when they are imported.

    TensorFlow's start stays as it is if the environment sets TF_CPP_MIN_LOG_LEVEL, or if TensorFlow is loaded already.
    """
    if "keras" in sys.modules:
        register_stand_ins()
    sys.meta_path.insert(0, _Watcher())


def register_stand_ins() -> None:
    """Registers a stand-in for each class that is not loaded yet; it loads the class when Keras builds an object."""
    import keras

    known = keras.saving.get_custom_objects()  # the live dictionary, where a class later takes its stand-in's place
    for name, module in REGISTERED.items():
        known.setdefault(f"{PACKAGE}>{name}", _stand_in(name, module))


def _stand_in(name: str, module: str) -> type:
    def from_config(config: dict[str, Any]) -> Any:
        return getattr(importlib.import_module(module), name).from_config(config)

    return type(name, (), {"from_config": staticmethod(from_config), "get_config": None})


class _Watcher:
    """A finder that finds no module of its own, but adds to the import of two others.

    Not derived from `importlib.abc.MetaPathFinder`, whose import would double the time of `import tf_nqs`.
    """

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname not in ("keras", "tensorflow"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    """Executes a module and drops what C++ libraries write to standard error meanwhile."""

    def exec_module(self, module: ModuleType) -> None:
        with _quietly():
            super().exec_module(module)
        if module.__name__ == "keras":
            register_stand_ins()


def _quietly() -> contextlib.AbstractContextManager[None]:
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return silenced_stderr() if level == "3" else contextlib.nullcontext()
