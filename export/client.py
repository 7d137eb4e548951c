"""Uses an exported wave function with TensorFlow alone: no tf_nqs, no Keras.

Example:
    python export/client.py --model=exported/a4/1

draws walkers, evaluates every signature on them, differentiates ln|Psi| through the loaded model, and compares the
local energy made of these derivatives with the exported one.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf


def sample(signatures: dict[str, Callable], seed: int, n_walkers: int, n_steps: int) -> tf.Tensor:
    """Returns walkers drawn from |Psi|^2, shape (n_walkers, n_particles), in a_ho."""
    arguments = {"seed": [0, seed], "n_walkers": n_walkers, "n_steps": n_steps}
    return signatures["sample"](**{name: tf.constant(value) for name, value in arguments.items()})["positions"]


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
        gradient = inner.gradient(log_abs_psi, stacked)
        components = tf.unstack(gradient, axis=1)
    second = [outer.gradient(component, column) for component, column in zip(components, columns, strict=True)]
    return gradient, tf.add_n(second)


def evaluate(signatures: dict[str, Callable], positions: tf.Tensor) -> dict[str, Any]:
    """Returns `signature/output` -> numbers, for all signatures that take positions."""
    names = sorted(signatures.keys() - {"sample", "serving_default"})
    numbers = {
        f"{name}/{output}": value.numpy()
        for name in names
        for output, value in signatures[name](positions=positions).items()
    }
    gradient, laplacian = tf.function(derivatives, autograph=False)(signatures["log_psi"], positions)
    return numbers | {
        "positions": positions.numpy(),
        "tapes/gradient": gradient.numpy(),
        "tapes/laplacian": laplacian.numpy(),
    }


def main() -> int:
    """Loads the model, prints what it finds, and returns 0, or 2 if there is no such model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--model", required=True, help="folder that holds saved_model.pb, e.g. exported/a4/1")
    parser.add_argument("--n_walkers", type=int, default=1000, help="number of walkers (default: 1000)")
    parser.add_argument("--n_steps", type=int, default=500, help="Metropolis steps of each (default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the walkers (default: 0)")
    parser.add_argument("--output", help="npz file for all numbers")
    options = parser.parse_args()
    if not tf.io.gfile.exists(os.path.join(options.model, "saved_model.pb")):
        print(f"error: model = {options.model!r}: holds no saved_model.pb", file=sys.stderr)
        return 2
    model = tf.saved_model.load(options.model)  # kept, because its signatures do not keep the variables alive
    signatures = model.signatures
    positions = sample(signatures, options.seed, options.n_walkers, options.n_steps)
    numbers = evaluate(signatures, positions)
    energy = numbers["local_energy/total"]
    error = energy.std() / math.sqrt(len(energy))
    print(f"energy of {len(energy)} independent walkers: {energy.mean():.5f} +- {error:.5f} (in units of hbar*omega)")
    kinetic = -0.5 * (numbers["tapes/laplacian"] + np.sum(numbers["tapes/gradient"] ** 2, axis=1))
    difference = np.max(np.abs(kinetic - numbers["local_energy/kinetic"]) / np.maximum(1, np.abs(kinetic)))
    print(f"kinetic energy by nested tapes through log_psi: largest deviation {difference:.1e}")
    if options.output:
        np.savez(options.output, **numbers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
