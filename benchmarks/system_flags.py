"""Flags of the system and the wave function, shared by the benchmarks: those of train.py, with the same names.

A flag that is left out leaves its setting to the package.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from tf_nqs.config import Settings, SettingsError, settings_from
from tf_nqs.config.settings import value_type

SYSTEM_FLAGS = ("interaction", "interaction_range", "pair_stiffness", "trap", "trap_quartic", "trap_separation")
"""Settings of the system beside the number of particles and the strength, which the benchmarks vary themselves."""


def add_system_flags(parser: argparse.ArgumentParser, several_ansatze: bool = False) -> None:
    """Adds the flags of the system, and --ansatz.

    Args:
        parser: of the benchmark.
        several_ansatze: whether --ansatz takes several names, which the benchmark compares.
    """
    for leaf in SYSTEM_FLAGS:
        parser.add_argument(f"--{leaf}", type=value_type(leaf), help="as of train.py")
    if several_ansatze:
        parser.add_argument("--ansatz", nargs="+", default=["slater"], help="as of train.py; several are compared")
    else:
        parser.add_argument("--ansatz", help="as of train.py")


def given(flags: argparse.Namespace, leaves: Iterable[str] = (*SYSTEM_FLAGS, "ansatz")) -> dict[str, Any]:
    """Returns setting -> value of the flags that were given."""
    return {leaf: getattr(flags, leaf) for leaf in leaves if getattr(flags, leaf) is not None}


def checked_settings(leaves: dict[str, Any]) -> Settings:
    """Returns all settings; ends the benchmark with one line and status 2 where one of them is not allowed.

    Args:
        leaves: setting -> value.
    """
    try:
        return settings_from(None, leaves)
    except SettingsError as error:
        refuse(str(error))


def refuse(reason: str) -> NoReturn:
    """Ends the benchmark with one line and status 2."""
    sys.stderr.write(f"error: {reason}\n")
    sys.exit(2)
