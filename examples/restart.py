"""Restart: a run that ended after 40 iterations continues to 80, as if there had been no break.

The same from the shell: `python train.py --run_dir=runs/a2 --resume --iterations=80`.

    python examples/restart.py
"""

import tempfile
from pathlib import Path

import numpy as np

import tf_nqs
from tf_nqs.config import settings_from


def train(folder, iterations, resume=False):
    """Trains in a run folder, from the last checkpoint when it resumes; returns the trained weights."""
    settings = settings_from(
        None,
        {
            "n_particles": 2,
            "interaction_strength": 10.0,
            "n_features": 16,
            "n_walkers": 256,
            "n_steps": 5,
            "iterations": iterations,
            "jit_compile": False,  # XLA is worthwhile for longer runs
            "evaluation_max_seconds": 1.0,
            "run_dir": str(folder),
            "quiet": True,
        },
    )
    tf_nqs.run(settings, resume=resume)
    return tf_nqs.load(folder).ansatz.get_weights()


def main():
    """Trains with a break and without; returns the weights at the break, after it, and of the run without one."""
    with tempfile.TemporaryDirectory() as folder:
        at_the_break = train(Path(folder, "broken"), 40)
        after_it = train(Path(folder, "broken"), 80, resume=True)  # few settings may change
        return at_the_break, after_it, train(Path(folder, "whole"), 80)


if __name__ == "__main__":
    at_the_break, after_it, whole = main()
    moved = max(np.abs(now - then).max() for now, then in zip(after_it, at_the_break, strict=True))
    are_equal = all(np.array_equal(one, other) for one, other in zip(after_it, whole, strict=True))
    print(f"since the break weights have moved by up to {moved:.2g}")
    print(f"weights of a run without a break: {'the same, bit by bit' if are_equal else 'others'}")
