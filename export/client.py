"""Uses an exported wave function with TensorFlow alone, without tf_nqs and Keras.

Example:
    python export/client.py --model=exported/a4
    python export/client.py --model=exported/family --n_particles=4 --interaction_strength=7.3 --interaction_range=0.5

It draws walkers, evaluates every signature on them, differentiates ln|Psi| through the loaded model, and compares the
kinetic energy from these derivatives with the exported one.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Discards output of native code on standard error, which does not obey a log level yet."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with silent_stderr():
    import tensorflow as tf

MODEL_FILE = "saved_model.pb"
INT32 = 2**31
NEEDED = {"sample", "log_psi", "local_energy"}
"""Signatures that this program needs."""
OF_FAMILY = ("n_particles", "interaction_strength", "interaction_range")
"""What the signatures of a family take beside those of a single system; n_particles is for `sample` alone."""


class BadInputError(Exception):
    """Bad input; the message is one line with the reason and the allowed values."""


class Parser(argparse.ArgumentParser):
    """Answers bad arguments with one line."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        self.exit(2, f"error: {message}\n")


def integer(lowest: int) -> Callable[[str], int]:
    """Returns a function that reads an integer of at least `lowest` that fits into int32."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = INT32
        if not lowest <= number < INT32:
            raise argparse.ArgumentTypeError(f"{text!r}: must be an integer from {lowest} to {INT32 - 1}")
        return number

    return read


def number(text: str) -> float:
    """Returns a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a finite number")
    return value


def find_model(name: str) -> Path:
    """Returns the folder of a model: the given one, or its newest version; names of versions are numbers."""
    folder = Path(name)
    try:
        if (folder / MODEL_FILE).is_file():
            return folder
        versions = [path for path in folder.glob("*") if path.name.isdecimal() and (path / MODEL_FILE).is_file()]
    except (OSError, ValueError):  # e.g. a name that is too long
        versions = []
    if not versions:
        raise BadInputError(f"model = {name!r}: holds no {MODEL_FILE}; must be the folder of an export")
    return max(versions, key=lambda path: int(path.name))


def load(folder: Path) -> Any:
    """Returns the loaded model, which has all needed signatures.

    TensorFlow does not document its errors for damaged files, so any of Python's own errors counts as one.
    """
    name = f"model = {str(folder)!r}"
    try:
        model = tf.saved_model.load(str(folder))
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInputError(f"{name}: cannot be read ({reason}); must be the folder of an export") from error
    missing = sorted(NEEDED - set(model.signatures))
    if missing:
        raise BadInputError(f"{name}: has no signature {', '.join(missing)}; must be the folder of an export")
    return model


def check_output(name: str) -> None:
    """Refuses an output file that cannot be written, before any work."""
    path = Path(name)
    try:
        if path.is_dir():
            raise BadInputError(f"output = {name!r}: is a folder; must be a file in a folder that exists")
        with tempfile.NamedTemporaryFile(dir=path.parent):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInputError(
            f"output = {name!r}: cannot be written ({reason}); must be a file in a folder that exists"
        ) from error


def member(signatures: dict[str, Any], options: argparse.Namespace) -> dict[str, tf.Tensor]:
    """Returns which member of a family is meant, name -> value; nothing for the export of a single system."""
    inputs, given = signatures["sample"].structured_input_signature[1], {}
    for name in OF_FAMILY:
        value = getattr(options, name)
        if name in inputs and value is None:
            raise BadInputError(f"{name}: must be given, as the export is that of a family")
        if name not in inputs and value is not None:
            raise BadInputError(f"{name} = {value}: has no meaning for this export; must be left out")
        if value is not None:
            given[name] = tf.constant(value, inputs[name].dtype)
    return given


def sample(
    signatures: dict[str, Callable], seed: int, n_walkers: int, n_steps: int, given: dict[str, tf.Tensor]
) -> tf.Tensor:
    """Returns walkers drawn from |Psi|^2, shape (n_walkers, n_particles), in a_ho."""
    arguments = {"seed": [0, seed], "n_walkers": n_walkers, "n_steps": n_steps}
    numbers = {name: tf.constant(value) for name, value in arguments.items()}
    return signatures["sample"](**numbers, **given)["positions"]


def derivatives(log_psi: Callable, positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns gradient (n_walkers, n_particles) and Laplacian (n_walkers,) of ln|Psi|, by nested GradientTapes.

    Args:
        log_psi: the loaded signature.
        positions: in a_ho, shape (n_walkers, n_particles).
    """
    columns = tf.unstack(positions, axis=1)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(columns)
        stacked = tf.stack(columns, axis=1)
        with tf.GradientTape() as inner:
            inner.watch(stacked)
            log_abs_psi = log_psi(positions=stacked)["log_abs_psi"]
        # The model of a family knows the number of particles when it runs, not before.
        gradient = tf.ensure_shape(inner.gradient(log_abs_psi, stacked), stacked.shape)
        components = tf.unstack(gradient, axis=1)
    second = [outer.gradient(component, column) for component, column in zip(components, columns, strict=True)]
    return gradient, tf.add_n(second)


def evaluate(signatures: dict[str, Callable], positions: tf.Tensor, given: dict[str, tf.Tensor]) -> dict[str, Any]:
    """Returns `signature/output` -> numbers, for all signatures that take positions."""
    names = sorted(signatures.keys() - {"sample", "serving_default"})
    parameters = {name: value for name, value in given.items() if name != "n_particles"}
    numbers = {
        f"{name}/{output}": value.numpy()
        for name in names
        for output, value in signatures[name](positions=positions, **parameters).items()
    }
    log_psi = functools.partial(signatures["log_psi"], **parameters)
    gradient, laplacian = tf.function(functools.partial(derivatives, log_psi), autograph=False)(positions)
    return numbers | {
        "positions": positions.numpy(),
        "tapes/gradient": gradient.numpy(),
        "tapes/laplacian": laplacian.numpy(),
    }


def rounded(value: float, error: float) -> tuple[str, str]:
    """Returns both numbers with as many decimals as give the error two digits; with six if the error is unknown."""
    decimals = 6
    if math.isfinite(error) and error > 0:
        decimals = min(max(1 - math.floor(math.log10(error)), 0), 12)
    return f"{value:.{decimals}f}", f"{error:.{decimals}f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Loads the model, prints the results, and returns 0, or 2 for bad input."""
    parser = Parser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--model", required=True, help="folder of an export or of a version of it, e.g. exported/a4")
    parser.add_argument("--n_walkers", type=integer(1), default=1000, help="number of walkers (default: 1000)")
    parser.add_argument("--n_steps", type=integer(0), default=500, help="number of Metropolis steps (default: 500)")
    parser.add_argument("--seed", type=integer(-INT32), default=0, help="seed of the walkers (default: 0)")
    parser.add_argument("--n_particles", type=integer(1), help="of a family: number of particles of the member")
    parser.add_argument("--interaction_strength", type=number, help="of a family: strength of its interaction")
    parser.add_argument("--interaction_range", type=number, help="of a family: range of its interaction, in a_ho")
    parser.add_argument("--output", help="npz file for all numbers")
    options = parser.parse_args(argv)
    try:
        run(options)
    except BadInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace) -> None:
    """Does the work with these options."""
    if options.output is not None:
        check_output(options.output)
    model = load(find_model(options.model))  # kept: its signatures do not keep the variables alive
    given = member(model.signatures, options)
    try:
        positions = sample(model.signatures, options.seed, options.n_walkers, options.n_steps, given)
        numbers = evaluate(model.signatures, positions, given)
    except tf.errors.InvalidArgumentError as problem:
        refusal = re.search(r"assertion failed: \[(.*?)\] \[(.*?)\]", str(problem))
        if refusal is None:
            raise
        raise BadInputError(" ".join(refusal.groups())) from problem
    except tf.errors.ResourceExhaustedError as problem:
        raise BadInputError(
            f"n_walkers = {options.n_walkers}: needs more memory than there is; must be smaller"
        ) from problem
    energy = numbers["local_energy/total"]
    error = energy.std() / math.sqrt(len(energy))
    energy_text, error_text = rounded(energy.mean(), error)
    print(f"energy of {len(energy)} independent walkers: {energy_text} +- {error_text} (in units of hbar*omega)")
    kinetic = -0.5 * (numbers["tapes/laplacian"] + np.sum(numbers["tapes/gradient"] ** 2, axis=1))
    difference = np.max(np.abs(kinetic - numbers["local_energy/kinetic"]) / np.maximum(1, np.abs(kinetic)))
    print(f"kinetic energy by nested tapes through log_psi: largest deviation {difference:.1e}")
    if options.output is not None:
        try:
            np.savez(options.output, **numbers)
        except OSError as problem:
            raise BadInputError(f"output = {options.output!r}: cannot be written ({problem.strerror})") from problem


if __name__ == "__main__":
    sys.exit(main())
