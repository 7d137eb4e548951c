"""The reference of all settings as Markdown, made from their definitions: `python docs/settings_reference.py`."""

from __future__ import annotations

from tf_nqs.cli import allowed
from tf_nqs.config.settings import FIELDS, SECTION_OF, SECTIONS, value_type


def settings_reference() -> str:
    """Returns a table per section: flag, default, what is allowed, meaning."""
    return "\n\n".join(_section(name) for name in SECTIONS)


def _section(name: str) -> str:
    rows = [_row(leaf) for leaf in FIELDS if SECTION_OF[leaf] == name]
    head = ["| setting and flag | default | allowed | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## `[{name}]`", "", str(SECTIONS[name].__doc__), "", *head, *rows])


def _row(leaf: str) -> str:
    field = FIELDS[leaf]
    flag = f"--[no]{leaf}" if value_type(leaf) is bool else f"--{leaf}"
    if field.is_required():
        default = "required"
    elif field.default is None:
        default = "none"
    else:
        default = f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
    cells = [f"`{leaf}` <br> `{flag}`", default, allowed(leaf), str(field.description)]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(settings_reference())
