"""Trains a neural quantum state on the ground state of trapped fermions.

Example:
    python train.py --config=quickstart --run_dir=runs/first

`python train.py --help=all` lists every setting; `configs/` holds the presets.
"""

import sys

from tf_nqs.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
