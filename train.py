"""Trains a neural quantum state on the ground state of trapped fermions.

Example:
    python train.py --config=quickstart --run_dir=runs/first

`python train.py --help=all` lists every setting; `configs/` holds the presets.
"""

from tf_nqs.commands import train as cli

if __name__ == "__main__":
    cli.entry_point()
