"""Evaluate elsewhere: a wave function as a SavedModel, used by a program with TensorFlow alone.

Here the network is fitted to free fermions, whose energy is A^2/2; `tf_nqs.load("runs/a4")` returns a trained one.

    python examples/elsewhere.py
"""

import tempfile
from pathlib import Path

import keras
import tensorflow as tf

import tf_nqs
from tf_nqs.analysis import format_with_error

A = 2


def write(folder):
    """Writes the model and returns its network."""
    keras.utils.set_random_seed(1)
    ansatz = tf_nqs.FermionAnsatz(A, n_features=16)
    tf_nqs.training.pretrain(ansatz, 200, 256, 1)
    tf_nqs.export(ansatz, tf_nqs.TrappedFermions(A), folder)
    return ansatz


def use(folder):
    """Samples and measures without tf_nqs; returns walkers, ln|Psi| and local energies."""
    model = tf.saved_model.load(str(Path(folder, "1")))
    sample, log_psi, local_energy = (model.signatures[name] for name in ("sample", "log_psi", "local_energy"))
    drawn = sample(seed=tf.constant([0, 1]), n_walkers=tf.constant(1000), n_steps=tf.constant(400))
    positions = drawn["positions"]
    return positions, log_psi(positions=positions)["log_abs_psi"], local_energy(positions=positions)["total"]


def main():
    """Returns the network, and the results of the program elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        ansatz = write(Path(folder, "free"))
        return ansatz, *use(Path(folder, "free"))


if __name__ == "__main__":
    _, _, _, energies = main()
    error = float(tf.math.reduce_std(energies)) / len(energies) ** 0.5
    print(f"energy {format_with_error(float(tf.reduce_mean(energies)), error)}, exact {A**2 / 2}")
