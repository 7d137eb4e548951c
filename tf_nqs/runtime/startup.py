"""Imports TensorFlow without its start-up messages, and no earlier than needed."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from tf_nqs.runtime.compilation_cache import kept_compilations

XLA_FLAGS = "--xla_cpu_use_fusion_emitters=false"
"""XLA's older code generator for the CPU: compiles the phases in four fifths of the time, to equally fast code."""


@contextlib.contextmanager
def silenced_stderr() -> Iterator[None]:
    """Sends file descriptor 2 to the null device inside the `with` block; C++ libraries write there directly."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # closed, as in a service: there is nothing to silence
        yield
        return
    try:
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def collection_paused(freeze: bool = False) -> Iterator[None]:
    """Pauses the garbage collector inside the `with` block.

    For work that creates a million objects that stay, which the collector would inspect again and again: tracing takes
    nine tenths of its time with the collector paused.

    Args:
        freeze: whether the collector ignores all objects in memory after the block, too. For imports: objects that
            become garbage are then never freed.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if freeze:
            gc.freeze()
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def seeming_missing(package: str) -> Iterator[None]:
    """Blocks imports of a package inside the `with` block, as if it were not installed.

    Args:
        package: its name; a package that is loaded already stays available.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # None is Python's way to block an import
    try:
        yield
    finally:
        del sys.modules[package]


def set_environment() -> None:
    """Sets the environment variables that TensorFlow and NumPy read when they are loaded; those of the user stay."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    given = os.environ.get("XLA_FLAGS", "")
    if not given.startswith(XLA_FLAGS):  # a process that this one starts has them already
        os.environ["XLA_FLAGS"] = f"{XLA_FLAGS} {given}".strip()  # the last one counts
    if "OMP_NUM_THREADS" not in os.environ:  # more threads take more than twice the time for matrices of our size
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def import_tensorflow(optimise_graphs: bool = True) -> None:
    """Imports TensorFlow without its log lines, and sets whether it optimises graphs.

    Blocks scikit-learn and matplotlib meanwhile: Keras would load scikit-learn, which only a search needs, and pyplot,
    which nothing here needs; each takes a second.

    Args:
        optimise_graphs: whether TensorFlow optimises graphs (Grappler). If XLA compiles the phases, this has no use and
            costs more than a second at the start; without XLA it saves a third of the time of an iteration.

    Raises:
        ImportError: TensorFlow is missing or broken; standard error works again before it is raised.
    """
    set_environment()
    # TensorFlow Probability loads its parts at first use, unless TensorFlow is loaded already: then all of them here.
    import tensorflow_probability  # noqa: F401

    warnings.filterwarnings("ignore", "TensorFloat-32", UserWarning)  # about GPUs, at first use
    with silenced_stderr(), seeming_missing("sklearn"), seeming_missing("matplotlib"):
        import tensorflow as tf
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not optimise_graphs})


def call_late(target: str, *arguments: Any, **options: Any) -> Any:
    """Imports a function that takes long to import, calls it and returns what it returns.

    So `--help` and bad input are answered at once: commands import this way what only their work needs.

    Args:
        target: module and function, such as "tf_nqs.experiment.run:run".
        arguments: of the function.
        options: of the function, by name.
    """
    module, _, function = target.partition(":")
    with collection_paused(freeze=True):
        found = getattr(importlib.import_module(module), function)
    return found(*arguments, **options)


def call_with_tensorflow(
    target: str, *arguments: Any, optimise_graphs: bool = True, shape: str | None = None, **options: Any
) -> Any:
    """Does what `call_late` does, after `import_tensorflow(optimise_graphs)`.

    Args:
        target: module and function.
        arguments: of the function.
        optimise_graphs: whether TensorFlow optimises graphs.
        shape: names what the function compiles, which is kept for its next call in another process; None to keep
            nothing, see `tf_nqs.runtime.compilation_cache`.
        options: of the function, by name.
    """
    set_environment()
    with kept_compilations(shape and f"{target} {optimise_graphs} {shape}"):
        with collection_paused(freeze=True):
            import_tensorflow(optimise_graphs)
        return call_late(target, *arguments, **options)
