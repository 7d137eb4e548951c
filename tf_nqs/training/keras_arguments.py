"""Arguments of Keras' `fit`, `compile` and `evaluate` that a trainer does not have, answered by what to use instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_NO_DATA = "training needs no data, it samples the wave function"
_NO_VALIDATION = "there is no data to validate with; measure the energy by evaluate_energy() after fit"
_ENERGY = "the loss is the energy of the system, and logs hold it and its parts; leave it out"

_FIT = {
    **dict.fromkeys(("x", "y", "batch_size", "sample_weight", "class_weight", "shuffle"), _NO_DATA),
    **dict.fromkeys(
        ("validation_data", "validation_split", "validation_steps", "validation_batch_size", "validation_freq"),
        _NO_VALIDATION,
    ),
    "epochs": "use iterations=, the number of updates",
    "initial_epoch": "use done=, the number of iterations done before",
    "steps_per_epoch": "use iterations=, and iterations_per_call of VariationalMonteCarlo for how many run between "
    "two calls of the callbacks",
}
_COMPILE = {
    **dict.fromkeys(("loss", "loss_weights", "metrics", "weighted_metrics", "auto_scale_loss"), _ENERGY),
    "steps_per_execution": "use iterations_per_call of VariationalMonteCarlo",
}
_EVALUATE = {
    **dict.fromkeys(("x", "y", "batch_size", "sample_weight"), "it samples the wave function and needs no data"),
    "steps": "use target_error= or max_seconds=",
    "callbacks": "use report=, a function of the estimate so far",
    "verbose": "use report=, a function of the estimate so far",
    "return_dict": "it always returns a dictionary",
}
_INSTEAD = {"fit": _FIT, "compile": _COMPILE, "evaluate": _EVALUATE}
_TAKES = {
    "fit": "iterations, callbacks, done and verbose",
    "compile": "optimizer, natural_gradient, jit_compile, chunk_mebibytes and run_eagerly",
    "evaluate": "target_error, max_seconds, relations and report",
}


def refuse_keras_arguments(method: str, names: Iterable[str]) -> None:
    """Refuses arguments that are Keras' but not the trainer's, or nobody's.

    Args:
        method: "fit", "compile" or "evaluate".
        names: of the arguments that it was given but does not know.

    Raises:
        TypeError: there is one.
    """
    for name in names:
        instead = _INSTEAD[method].get(name, f"it takes {_TAKES[method]}")
        raise TypeError(f"{method}() takes no argument {name!r}: {instead}")


def checked_verbose(verbose: Any) -> int:
    """Returns Keras' `verbose` as a number, 1 for "auto".

    Raises:
        ValueError: it is none of "auto", 0, 1, 2.
    """
    if verbose == "auto":
        return 1
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose = {verbose!r}: must be 0 (silent), 1 (a bar), 2 (a line per call) or 'auto'")
    return int(verbose)
