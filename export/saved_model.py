"""Exports the wave function of a finished run as a SavedModel.

Example:
    python export/saved_model.py --run_dir=runs/a4 --output=exported/a4

`python export/saved_model.py --help` explains the settings, `export/README.md` the use of the result.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # so that a checkout exports with its own code
    from tf_nqs.commands.export import main

    sys.exit(main())
