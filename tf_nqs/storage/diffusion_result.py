"""The exact energy that `python -m tf_nqs.diffuse` has left in the folder of a run."""

from __future__ import annotations

import json
import math

from tf_nqs.storage.run_folder import RunFolder


def read_diffusion(folder: RunFolder) -> tuple[float, float] | None:
    """Returns the energy in `diffusion.json` and its standard error, in hbar*omega; None if there is no such file.

    Args:
        folder: of the run.

    Raises:
        RunFolderError: the file cannot be read, or holds no energy with an error.
    """
    file = folder.diffusion
    if not file.is_file():
        return None
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        numbers = [entries["energy"], entries["energy_error"]]
        if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers) or numbers[1] < 0:
            raise ValueError("no energy with an error")
    except (LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise folder.unreadable(file, error) from error
    return float(numbers[0]), float(numbers[1])
