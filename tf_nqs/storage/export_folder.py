"""The folder of an export: its layout, and the check that nothing in it gets lost."""

from __future__ import annotations

from pathlib import Path

from tf_nqs.config.errors import SettingsError, shown, why

VERSION_FOLDER, README_FILE = "1", "README.md"
"""TensorFlow Serving looks for models in folders named by their version."""

UNREADABLE = "[\\"
"""TensorFlow looks for a model's variables by its path as a pattern, which these characters keep from matching."""


def check_output(output: str | Path, overwrite: bool) -> Path:
    """Returns the folder of an export as an absolute path; refuses one with other files in it.

    Args:
        output: a new or an empty folder.
        overwrite: whether it may hold an earlier export, which is replaced.

    Raises:
        SettingsError: it holds something else, is a file, is not a path, or TensorFlow cannot load from it.
    """
    name, allowed = shown(str(output)), "must be a new or an empty folder"
    try:
        target = Path(output).expanduser().resolve()
        str(target).encode()  # TensorFlow takes no other names
        if any(character in str(target) for character in UNREADABLE):
            raise SettingsError(f"output = {name}: TensorFlow loads no model from a path with [ or \\; {allowed}")
        if not target.exists():
            ancestor = next(place for place in target.parents if place.exists())
            if not ancestor.is_dir():
                raise SettingsError(f"output = {name}: {ancestor} is a file; {allowed}")
            return target
        if not target.is_dir():
            raise SettingsError(f"output = {name}: is a file; {allowed}")
        is_empty = not any(target.iterdir())
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, SettingsError):
            raise
        reason = why(error)
        raise SettingsError(f"output = {name}: no usable path ({reason}); {allowed}") from error
    if is_empty:
        return target
    if not is_export(target):
        raise SettingsError(f"output = {name}: holds files that do not belong to an export; {allowed}")
    if not overwrite:
        raise SettingsError(f"output = {name}: holds an export already; {allowed}, or be given with --overwrite")
    return target


def is_export(folder: Path) -> bool:
    """Returns whether a folder holds an export and nothing else."""
    names = {entry.name for entry in folder.iterdir()}
    return names <= {VERSION_FOLDER, README_FILE} and (folder / VERSION_FOLDER / "saved_model.pb").is_file()
