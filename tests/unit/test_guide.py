"""The guide describes all settings and rooms, and its links and paths lead to files."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tf_nqs.config.search import SearchSettings
from tf_nqs.config.settings import FIELDS, SECTIONS

ROOT = Path(__file__).parents[2]
DOCS, PACKAGE = ROOT / "docs", ROOT / "tf_nqs"


def reference():
    return runpy.run_path(str(DOCS / "settings_reference.py"))["settings_reference"]()


def test_every_setting_has_a_row_with_its_meaning():
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    fields = [*FIELDS.items(), *SearchSettings.model_fields.items()]
    for row, (leaf, field) in zip(rows, fields, strict=True):
        assert row.startswith(f"| `{leaf}` <br> `--")
        assert row.endswith("| " + field.description.replace("|", r"\|") + " |")


def test_sections_and_values_are_shown():
    text = reference()
    names = [*SECTIONS, "search"]
    assert [line for line in text.splitlines() if line.startswith("## ")] == [f"## `[{name}]`" for name in names]
    assert (
        "| `n_particles` <br> `--n_particles` | required | an integer from 1 to 64 | Number of fermions, A. |" in text
    )
    traps = "one of harmonic, none, double_well, quartic, or true or false"
    assert f"| `trap` <br> `--[no]trap` | `harmonic` | {traps} |" in text


def test_the_page_asks_for_the_reference():
    assert "<!-- settings -->" in (DOCS / "settings.md").read_text(encoding="utf-8").splitlines()


def test_every_room_has_its_task():
    table = (DOCS / "architecture.md").read_text(encoding="utf-8").partition("## Modules")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    rooms = [path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    assert sorted(named) == sorted({*rooms} - {"__init__"})


PAGES = [ROOT / "README.md", *DOCS.glob("*.md"), *(ROOT / name / "README.md" for name in ("benchmarks", "export"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_lead_to_files(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    paths = re.findall(r"`((?:benchmarks|configs|docs|examples|export|tests|tf_nqs)/[\w/.]+)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
