"""TensorFlow imported without its start-up chatter, and a start that is no slower than it must be."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import warnings
from collections.abc import Iterator

XLA_FLAGS = "--xla_cpu_use_fusion_emitters=false"
"""XLA's older code generator for the CPU: compiles the phases in four fifths of the time, to code as fast."""


@contextlib.contextmanager
def silenced_stderr() -> Iterator[None]:
    """Sends file descriptor 2 to the null device inside the `with` block; C++ libraries write there directly."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # closed, as of a service: there is nothing to silence
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
    """Collects no garbage inside the `with` block.

    For work that makes a million objects that stay, through which the collector would look again and again: tracing
    takes nine tenths of its time so.

    Args:
        freeze: whether the collector never looks at what is in memory after the block either. For imports, as even
            what turns to garbage is then kept.
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
    """Lets imports of a package fail inside the `with` block, as if it were not installed; after it they work.

    Args:
        package: its name; one that is loaded already stays so.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # what Python itself puts there to block an import
    try:
        yield
    finally:
        del sys.modules[package]


def import_tensorflow(optimise_graphs: bool = True) -> None:
    """Imports TensorFlow silently, so that later imports of it find it loaded, and chooses how graphs are compiled.

    Without Keras' wrappers for scikit-learn and its pictures of images: they would load scikit-learn, which only a
    search has use for, and pyplot, which nothing here has; a second each.

    Args:
        optimise_graphs: whether TensorFlow optimises graphs (Grappler). Where XLA compiles the phases it is waited for
            in vain, more than a second of a start; where it does not, iterations would take half as long again.

    Raises:
        ImportError: TensorFlow is missing or broken; raised with standard error restored, so that it shows.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["XLA_FLAGS"] = f"{XLA_FLAGS} {os.environ.get('XLA_FLAGS', '')}".strip()  # the last one counts
    # Where TensorFlow is loaded already, this loads all its parts; where it is not, each at its first use.
    import tensorflow_probability  # noqa: F401

    warnings.filterwarnings("ignore", "TensorFloat-32", UserWarning)  # about GPUs, at that first use
    with silenced_stderr(), seeming_missing("sklearn"), seeming_missing("matplotlib"):
        import tensorflow as tf
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not optimise_graphs})
