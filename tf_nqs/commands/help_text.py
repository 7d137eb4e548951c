"""The texts of `--help`: short with the settings that people touch, or complete."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from pydantic.fields import FieldInfo

from tf_nqs.config.errors import SettingsError, shown
from tf_nqs.config.fields import field_allowed
from tf_nqs.config.settings import FIELDS, SECTION_OF, SECTIONS, value_type

EVERYDAY = (
    "n_particles",
    "interaction_strength",
    "interaction_range",
    "trap",
    "n_features",
    "n_layers",
    "dtype",
    "n_walkers",
    "n_steps",
    "iterations",
    "optimizer",
    "learning_rate",
    "max_seconds",
    "transfer_from",
    "early_stopping",
    "target_error",
    "evaluation_max_seconds",
    "seed",
    "run_dir",
    "quiet",
)
"""Settings that people touch; the others have good defaults."""


def wanted_help(text: str | None) -> str | None:
    """Returns "short" or "all", None where no help is wanted.

    Args:
        text: what was given for `--help`; None where it was not given.

    Raises:
        SettingsError: it is something else.
    """
    wanted = {None: None, "false": None, "true": "short", "all": "all"}
    if text is not None and text.lower() not in wanted:
        raise SettingsError(f"help = {shown(text)}: must be all, or given without a value")
    return wanted[text if text is None else text.lower()]


def setting_help(field: FieldInfo) -> str:
    """Returns the help text of a setting: its description, what is allowed and its default."""
    if field.is_required():
        default = "required"
    elif isinstance(field.default, bool):
        default = "default: " + shown(field.default)
    else:
        default = f"default: {'none' if field.default is None else field.default}"
    return f"{field.description} ({field_allowed(field)}; {default})"


def help_block(title: str, entries: Mapping[str, str]) -> str:
    """Returns a part of the text of `--help`: flag -> help text, under a title."""
    lines = [f"{title}:"]
    for flag, text in entries.items():
        indent = " " * 29
        lines.append(textwrap.fill(text, 110, initial_indent=f"  {flag:<26} ", subsequent_indent=indent))
    return "\n".join(lines)


def settings_blocks(leaves: tuple[str, ...] | None = None) -> list[str]:
    """Returns the blocks of settings, one for each section.

    Args:
        leaves: the settings that are shown; None for all.
    """
    blocks = []
    for section in SECTIONS:
        entries = {
            f"--{'[no]' if value_type(leaf) is bool else ''}{leaf}": setting_help(FIELDS[leaf])
            for leaf in FIELDS
            if SECTION_OF[leaf] == section and (leaves is None or leaf in leaves)
        }
        if entries:
            blocks.append(help_block(section, entries))
    return blocks
