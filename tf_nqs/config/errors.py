"""Messages about bad input: one line that names the setting and the allowed values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

ELSE_LISTED = "; --help=all lists all"
"""End of a message about an unknown name without a similar known one."""

LONGEST_SHOWN = 80
"""Maximum length of a value in a message, in characters."""

OTHER_NAMES = {
    "a": "n_particles",
    "n": "n_particles",
    "particles": "n_particles",
    "v": "interaction_strength",
    "v0": "interaction_strength",
    "strength": "interaction_strength",
    "sigma": "interaction_range",
    "sigma0": "interaction_range",
    "s0": "interaction_range",
    "range": "interaction_range",
    "kappa": "pair_stiffness",
    "potential": "interaction",
    "h": "n_features",
    "hidden": "n_features",
    "l": "n_layers",
    "layers": "n_layers",
    "d": "n_determinants",
    "determinants": "n_determinants",
    "nw": "n_walkers",
    "walkers": "n_walkers",
    "batchsize": "n_walkers",
    "steps": "n_steps",
    "epochs": "iterations",
    "niterations": "iterations",
    "lr": "learning_rate",
    "precision": "dtype",
    "output": "run_dir",
    "folder": "run_dir",
}
"""Symbol or other word, in lower case without _ and - -> the setting that it means."""

_END_SHOWN = 40
"""How many of these characters are from the end, the most important part of a path."""


class SettingsError(ValueError):
    """A setting that cannot be used; its text is one line for the user, whatever the input contained."""

    def __init__(self, message: str) -> None:
        """Keeps the message in one printable line.

        Args:
            message: the text; it names the setting and the allowed values.
        """
        super().__init__("".join(character if character.isprintable() else "?" for character in message))


class RunFolderError(SettingsError):
    """A folder that cannot be used, usually a run folder; its text is one line for the user."""


def must_be(name: str, value: object, allowed: str) -> SettingsError:
    """Returns the error about a value that is not allowed: name = value: must be allowed."""
    return SettingsError(f"{name} = {shown(value)}: must be {allowed}")


def must_be_given(name: str, allowed: str) -> SettingsError:
    """Returns the error about a setting that is missing."""
    return SettingsError(f"{name}: must be given; {allowed}")


def no_such_setting(name: object, known: Iterable[str], where: str = "", otherwise: str = ELSE_LISTED) -> SettingsError:
    """Returns the error about a name that is not known.

    Args:
        name: the name.
        known: the names that are.
        where: continues "no such setting", e.g. with the file that it was found in.
        otherwise: end of the line where no known name is close.
    """
    return SettingsError(f"{named(name)}: no such setting{where}{suggestion(str(name), known) or otherwise}")


def shown(value: object) -> str:
    """Returns a value as a short text.

    Args:
        value: any value given for a setting.

    Returns:
        The value as TOML or Python writes it; a long value without its middle.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers of more than 4300 digits, tables nested a thousand times
        return f"a huge {type(value).__name__}"
    return _without_middle(text)


def shown_setting(value: object) -> str:
    """Returns `shown(value)`, but "(not set)" for None; for comparisons of two values of a setting."""
    return "(not set)" if value is None else shown(value)


def why(error: BaseException) -> str:
    """Returns the system's reason for an error, such as "No space left on device", else its text; in one line."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


def brief(reason: object) -> str:
    """Returns an error or its text as one line of at most 200 characters."""
    return " ".join(str(reason).split())[:200]


def named(name: object) -> str:
    """Returns an unknown name as it was given; a long name without its middle."""
    return _without_middle(str(name))


def _without_middle(text: str) -> str:
    if len(text) <= LONGEST_SHOWN:
        return text
    return f"{text[: LONGEST_SHOWN - _END_SHOWN]}...{text[-_END_SHOWN:]}"


def suggestion(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Returns '; did you mean ...?' for the known name that `name` means or resembles, or an empty string.

    Args:
        name: the unknown name.
        known: the known names.
        prefix: text before the suggested name, e.g. '--'.
    """
    other = OTHER_NAMES.get(re.sub("[_-]", "", name).lower())
    if other in (known := list(known)):
        return f"; did you mean {prefix}{other}?"
    if len(name) > LONGEST_SHOWN:  # the comparison takes long, and such a name is no typing error
        return ""
    closest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {prefix}{closest[0]}?" if closest else ""
