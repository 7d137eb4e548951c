"""Objects of the user's own that a setting names as `module:name`."""

from __future__ import annotations

import importlib
from typing import Any


def imported(setting: str, name: str, allowed: str) -> Any:
    """Returns the object that `module:name` names.

    Args:
        setting: that names it, for the error.
        name: a module that can be imported, and something in it.
        allowed: what the setting must be, the end of a sentence that starts with "must be".

    Raises:
        ValueError: there is no such object; one line.
    """
    module_name, _, path = str(name).partition(":")
    try:
        found = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever the module of the user raises while it is imported
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{setting} = {name!r}: cannot be imported ({reason}); must be {allowed}") from error
    return found
