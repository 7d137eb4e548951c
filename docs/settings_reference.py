"""The reference of all settings as Markdown, made from their definitions: `python docs/settings_reference.py`."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from tf_nqs.config.fields import field_allowed, flag_forms
from tf_nqs.config.search import SearchSettings
from tf_nqs.config.section import Section
from tf_nqs.config.settings import SECTIONS


def settings_reference() -> str:
    """Returns a table per section, that of a search last: flag, default, what is allowed, meaning."""
    sections: dict[str, type[Section]] = {**SECTIONS, "search": SearchSettings}
    return "\n\n".join(_section(name, section) for name, section in sections.items())


def _section(name: str, section: type[Section]) -> str:
    rows = [_row(leaf, field) for leaf, field in section.model_fields.items()]
    head = ["| setting and flag | default | allowed | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## `[{name}]`", "", str(section.__doc__), "", *head, *rows])


def _row(leaf: str, field: FieldInfo) -> str:
    flag = f"--{leaf}" if flag_forms(field) is None else f"--[no]{leaf}"
    if field.is_required():
        default = "required"
    elif field.default is None:
        default = "none"
    else:
        default = f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
    cells = [f"`{leaf}` <br> `{flag}`", default, field_allowed(field), str(field.description)]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(settings_reference())
