"""How Sphinx builds the guide: `python -m sphinx -W --keep-going docs build/guide`."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import tf_nqs

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

project = "tf_nqs"
author = "The tf_nqs developers"
copyright = author  # the name is Sphinx' own
release = version = tf_nqs.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "tf_nqs"
exclude_patterns = ["_build", "results*.md"]  # reports of `tf_nqs.reproduce`, to be read as they are
default_role = "code"  # `name` in docstrings means what it means in Markdown
autodoc_inherit_docstrings = False  # what Keras says of an overridden method is in its own guide
autodoc_member_order = "bysource"
napoleon_custom_sections = [("Call arguments", "params_style")]
napoleon_use_ivar = True  # else the fields of named tuples would be described twice
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

SETTINGS_MARK = "<!-- settings -->"
"""A line of a page that is replaced by the reference of all settings."""


def insert_settings(app: Sphinx, docname: str, source: list[str]) -> None:
    """Puts what the source says about every setting where a page asks for it."""
    if SETTINGS_MARK in source[0]:
        script = runpy.run_path(str(Path(__file__).with_name("settings_reference.py")))
        source[0] = source[0].replace(SETTINGS_MARK, script["settings_reference"]())


def escape_bars(app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Keeps |Psi| of a docstring as it is: to Sphinx bars mean a substitution, but not in this project."""
    lines[:] = [re.sub(r"(`[^`]*`)|\|", lambda found: found[1] or r"\|", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Connects both to Sphinx; docstrings are escaped before their sections are looked at."""
    app.connect("source-read", insert_settings)
    app.connect("autodoc-process-docstring", escape_bars, priority=400)
