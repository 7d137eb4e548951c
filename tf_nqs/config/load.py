"""Reads `Settings` from a TOML file or a shipped preset, with overrides, and writes them as TOML."""

from __future__ import annotations

import importlib.resources
import json
import re
import tomllib
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tf_nqs.config.errors import LONGEST_SHOWN, SettingsError, named, no_such_setting, shown, suggestion, why
from tf_nqs.config.family import VARIED, FamilySection, check_family, corners, representative, varied_values
from tf_nqs.config.fields import first_problem
from tf_nqs.config.follow import following
from tf_nqs.config.meaning import check_meaning
from tf_nqs.config.members import covered_values
from tf_nqs.config.section import LARGEST_COUNT
from tf_nqs.config.settings import FIELDS, SECTION_OF, SECTIONS, Settings

PRESET_FOLDER = "configs"

LARGEST_FILE = 2**20
"""Maximum size of a config in bytes: /proc/kcore is a file too."""

_MUST_BE = "must be a TOML file"


def _preset_folder() -> Traversable:
    """Returns the folder of presets: inside an installed package, next to the package in a checkout."""
    shipped = importlib.resources.files("tf_nqs") / PRESET_FOLDER
    return shipped if shipped.is_dir() else Path(__file__).resolve().parents[2] / PRESET_FOLDER


def preset_names(searches: bool = False) -> list[str]:
    """Returns the names of the shipped presets.

    Args:
        searches: whether to return the presets of searches instead of those of runs.
    """
    folder = _preset_folder()
    if not folder.is_dir():
        return []
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    return sorted(file.name.removesuffix(".toml") for file in files if _is_search(file) == searches)


def _is_search(file: Traversable) -> bool:
    """Returns whether a shipped preset has a section [search]."""
    return any(line.startswith("[search") for line in file.read_text(encoding="utf-8").splitlines())


def find_config(config: str | Path, searches: bool = False) -> Traversable:
    """Returns the file that `config` names: an existing file, else a shipped preset.

    Args:
        config: a path, or the name of a preset: 'thesis', 'thesis.toml' or 'configs/thesis.toml'.
        searches: whether a preset must be that of a search instead of a run.

    Returns:
        The file.

    Raises:
        SettingsError: there is neither such a file nor such a preset.
    """
    path = Path(config)
    try:
        if path.is_file():
            return path
        exists = path.exists()
    except (OSError, ValueError) as error:  # not searchable, too long, a zero byte
        raise SettingsError(f"config = {shown(str(config))}: cannot be read: {_reason(error)}; {_MUST_BE}") from error
    preset, presets = path.name.removesuffix(".toml"), preset_names(searches)
    if preset in presets and path in (Path(preset), Path(f"{preset}.toml"), Path(PRESET_FOLDER, f"{preset}.toml")):
        return _preset_folder() / f"{preset}.toml"
    problem = "not a file" if exists else "no such file"
    raise SettingsError(
        f"config = {shown(str(config))}: {problem}; must be a TOML file or a preset "
        f"({', '.join(presets)}){suggestion(preset, presets)}"
    )


def load_toml(path: str | Path) -> Settings:
    """Returns the settings of a TOML file or a shipped preset.

    Args:
        path: as `config` of `settings_from`.

    Returns:
        The validated settings, defaults filled in.

    Raises:
        SettingsError: the file or a setting in it cannot be used.
    """
    return settings_from(path)


def settings_from(config: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Returns validated settings: the defaults, then `config`, then `overrides`; the later wins.

    Where the overrides choose another wave function, optimiser or interaction than the file, defaults of the former
    kind in it follow the choice, see `tf_nqs.config.follow`.

    Args:
        config: path of a TOML file, name of a shipped preset, or None.
        overrides: setting -> value.

    Returns:
        The settings, defaults filled in.

    Raises:
        SettingsError: a file or a setting cannot be used.

    Example:
        >>> settings = settings_from("quickstart", {"interaction_strength": 5.0})
        >>> settings.system.n_particles, settings.training.optimizer
        (4, 'spring')
    """
    of_config = {} if config is None else leaves_of(read_table(config), shown(str(config)))
    overrides = overrides or {}
    leaves = {**following(of_config, overrides), **overrides}
    varied = varied_values(leaves)
    if varied:
        return _family(leaves, varied, overrides)
    if varied_values(of_config):  # one member of the family in the config
        leaves = {
            leaf: value for leaf, value in leaves.items() if leaf in overrides or SECTION_OF.get(leaf) != "family"
        }
    settings = _validated(leaves)
    for leaf in FamilySection.model_fields:
        if leaf in leaves:
            raise SettingsError(
                f"{leaf} = {shown(leaves[leaf])} contradicts a single system: must be left out, or be given with "
                f"several values of {', '.join(VARIED[:-1])} or {VARIED[-1]}"
            )
    return settings


def _validated(leaves: Mapping[str, Any], varied: Mapping[str, tuple[Any, ...]] | None = None) -> Settings:
    """Returns the settings with these values; `varied` are those of a family that have several."""
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for leaf, value in leaves.items():
        if leaf not in FIELDS:
            raise no_such_setting(leaf, FIELDS)
        sections[SECTION_OF[leaf]][leaf] = value
    sections["family"] |= varied or {}
    try:
        return Settings.model_validate(sections)
    except ValidationError as error:
        raise first_problem(error, leaves, FIELDS) from error


def _family(leaves: Mapping[str, Any], varied: Mapping[str, tuple[Any, ...]], overrides: Mapping[str, Any]) -> Settings:
    """Returns the settings of a family; refuses one of which a member cannot be.

    Args:
        leaves: setting -> given value.
        varied: setting -> its values, of those that have several.
        overrides: setting -> value of those that were given beside a file.
    """
    for member in corners(varied):
        settings = _validated({**leaves, **member})
    check_family(settings, varied)
    check_meaning(settings, varied, overrides)
    family = settings.family
    n_walkers = family.n_conditions * family.walkers_per_condition
    if n_walkers > LARGEST_COUNT:
        raise SettingsError(
            f"n_conditions * walkers_per_condition = {family.n_conditions} * {family.walkers_per_condition}: must be "
            f"at most {LARGEST_COUNT}"
        )
    if leaves.get("n_walkers", n_walkers) != n_walkers:
        raise SettingsError(
            f"n_walkers = {leaves['n_walkers']} contradicts n_conditions * walkers_per_condition = {n_walkers}: "
            f"must be left out, or be {n_walkers}"
        )
    leaves = {**leaves, "n_walkers": n_walkers}
    return _validated({**leaves, **representative(varied)}, covered_values(settings.system, varied))


def to_toml(settings: Settings, within: str = "") -> str:
    """Returns all settings as TOML in sections, which loads back to equal settings; None values are left out.

    Args:
        settings: all settings.
        within: prefix of the names of the sections: "stage." in a chain.
    """
    blocks = []
    sections = settings.model_dump(exclude_none=True, exclude=None if settings.is_family else {"family"})
    if settings.is_family:  # whose number of walkers follows from [family]
        sections["system"] |= settings.family.varied()
        del sections["sampling"]["n_walkers"]
    for section, leaves in sections.items():
        lines = [f"{leaf} = {_toml_value(value)}" for leaf, value in leaves.items()]
        blocks.append("\n".join([f"[{within}{section}]", *lines]) + "\n")
    return "\n".join(blocks)


def _toml_value(value: bool | int | float | str | list[Any]) -> str:
    """Returns a value in TOML; JSON writes numbers, booleans, text without control characters and lists the same."""
    return json.dumps(value, ensure_ascii=False)


def read_table(config: str | Path, searches: bool = False) -> dict[str, Any]:
    """Returns the content of a TOML file or a shipped preset, not validated.

    Args:
        config: as for `find_config`.
        searches: as for `find_config`.

    Raises:
        SettingsError: there is no such file, or it is not TOML.
    """
    file, name = find_config(config, searches), shown(str(config))
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise SettingsError(f"config = {name}: cannot be read: {_reason(error)}; {_MUST_BE}") from error
    if len(content) > LARGEST_FILE:
        raise SettingsError(f"config = {name}: too large; must be a TOML file of at most {LARGEST_FILE} bytes")
    try:
        text = content.decode("utf-8-sig")
        return tomllib.loads(text + "\n")  # so that an error in the last line is reported with its number
    except UnicodeDecodeError as error:
        raise SettingsError(f"config = {name}: not UTF-8 text; {_MUST_BE}") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, integers and nesting beyond Python's limits
        where = f"{_reason(error)}{_quoted_line(text, str(error))}"
        raise SettingsError(f"config = {name}: not TOML: {where}; {_MUST_BE}") from error


def leaves_of(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns setting -> value from a table, flat or in sections.

    Args:
        table: returned by `read_table`.
        name: name of the file in messages.

    Raises:
        SettingsError: a name is unknown, in the wrong section, or given twice.
    """
    if "search" in table:
        raise SettingsError(f"[search]: {name} is the config of a search; must be given to python -m tf_nqs.tune")
    if "stage" in table:
        raise SettingsError(f"[[stage]]: {name} is the config of a chain; must be given to train.py")
    leaves: dict[str, Any] = {}
    for key, value in table.items():
        if key not in SECTIONS or (key in FIELDS and not isinstance(value, dict)):
            _add_leaf(leaves, key, value, None, name)
        elif not isinstance(value, dict):
            raise SettingsError(f"{key} = {shown(value)}: is the name of a section in {name}; must be written [{key}]")
        else:
            for leaf, leaf_value in value.items():
                _add_leaf(leaves, leaf, leaf_value, key, name)
    return leaves


def _add_leaf(leaves: dict[str, Any], leaf: str, value: object, section: str | None, name: str) -> None:
    """Adds one setting of a file, found in `section` or (None) at the top, to `leaves`."""
    if leaf not in FIELDS:
        if section is None and isinstance(value, dict):
            raise SettingsError(
                f"[{named(leaf)}]: no such section in {name}; must be one of {', '.join(SECTIONS)}"
                f"{suggestion(leaf, SECTIONS)}"
            )
        raise no_such_setting(leaf, FIELDS, f", but it is given in {name}")
    if section not in (None, SECTION_OF[leaf]):
        raise SettingsError(f"{leaf}: given in [{section}] of {name}, must be in [{SECTION_OF[leaf]}] or at the top")
    if leaf in leaves:
        raise SettingsError(f"{leaf}: given twice in {name}, must be given once")
    leaves[leaf] = value


def _reason(error: Exception) -> str:
    """Returns the cause of an error in one line, cut short in its middle where it is long: its end says where."""
    text = why(error)
    return text if len(text) <= 2 * LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]} ... {text[-LONGEST_SHOWN:]}"


def _quoted_line(text: str, message: str) -> str:
    """Returns the line of `text` that a TOML error message names, as ': <line>', or an empty string."""
    found = re.search(r"at line (\d+)", message)
    if found is None:
        return ""
    lines = text.split("\n")
    return f": {shown(lines[int(found[1]) - 1].strip())}"
