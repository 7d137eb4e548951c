"""The config of a hyper-parameter search: its method, the searched settings, and the settings of every trial."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from tf_nqs import defaults
from tf_nqs.config.distribution import check_own_process
from tf_nqs.config.errors import SettingsError, must_be, no_such_setting, shown, shown_setting
from tf_nqs.config.family import check_single
from tf_nqs.config.fields import checked_value, first_problem
from tf_nqs.config.load import leaves_of, read_table, settings_from, to_toml
from tf_nqs.config.section import LARGEST_COUNT, Count, Section
from tf_nqs.config.settings import FIELDS, SECTION_OF, Settings, allowed, value_type
from tf_nqs.named_ansatze import without_meaning

COMMON_SECTIONS = ("system", "family", "evaluation", "distribution", "run")
"""Sections of the problem, its measurement and its place, which must be the same for all trials."""

SET_BY_SEARCH = ("iterations", "max_seconds")
"""Settings that a search sets itself: its trials end after seconds_per_trial."""

_SPACE_FORMS = "{low = ..., high = ...} or {choices = [...]}"


class SearchSettings(Section):
    """How hyper-parameters are searched."""

    tuner: Literal["random", "hyperband", "bayesian"] = Field(
        "bayesian",
        description="How trials are chosen: at random, by successive halving (hyperband), or by a Gaussian process "
        "(bayesian).",
    )
    max_trials: Count = Field(20, description="Number of trials; a finished search continues with a larger one.")
    search_seconds: float | None = Field(
        None, gt=0, description="Time in seconds after which no new trial starts; default: no limit."
    )
    seconds_per_trial: float = Field(
        60.0, gt=0, description="Training time of each trial in seconds, without compilation and measurement."
    )
    error_weight: float = Field(
        1.0, ge=0, description="Weight of the error: trials are ranked by energy + error_weight * energy_error."
    )
    random_trials: int | None = Field(
        None,
        ge=1,
        le=LARGEST_COUNT,
        description="Bayesian: number of random trials before the Gaussian process chooses; default: a third of "
        "max_trials.",
    )
    min_seconds_per_trial: float | None = Field(
        None,
        gt=0,
        description="Hyperband: training time of the shortest trials in seconds; default: a ninth of "
        "seconds_per_trial.",
    )
    hyperband_factor: int = Field(
        3,
        ge=2,
        le=100,
        description="Hyperband: keep the best 1/factor of the trials and train them factor times longer.",
    )

    @model_validator(mode="after")
    def _must_leave_room_to_halve(self) -> SearchSettings:
        """Refuses a Hyperband search without a second, longer round."""
        shortest = self.min_seconds_per_trial
        if shortest is not None and shortest * self.hyperband_factor > self.seconds_per_trial:
            raise ValueError(
                f"min_seconds_per_trial = {shortest} contradicts seconds_per_trial = {self.seconds_per_trial}: "
                f"must be at most 1/{self.hyperband_factor} of it (hyperband_factor)"
            )
        return self


class Range(NamedTuple):
    """A setting searched between two numbers, both included.

    Attributes:
        low: the lower end.
        high: the upper end.
        scale: "linear" or "log".
        step: distance between two values, their ratio on the scale log; None for any value.
    """

    low: float
    high: float
    scale: str = "linear"
    step: float | None = None


class Choices(NamedTuple):
    """A setting searched among some values.

    Attributes:
        choices: the values, at least two.
    """

    choices: tuple


@dataclass(frozen=True)
class Search:
    """A whole search.

    Attributes:
        search: the method of the search.
        space: setting -> searched values.
        fixed: setting -> value given for every trial.
        settings: the fixed settings, defaults filled in.
    """

    search: SearchSettings
    space: dict[str, Range | Choices]
    fixed: dict[str, Any]
    settings: Settings


def search_from(config: str | Path, overrides: Mapping[str, Any] | None = None) -> Search:
    """Returns a validated search.

    Args:
        config: path of a TOML file, or name of a shipped search.
        overrides: name in [search], or run_dir, seed or quiet -> value, which wins over the config.

    Raises:
        SettingsError: something cannot be used; one line.
    """
    name, table = shown(str(config)), read_table(config, searches=True)
    section = table.pop("search", None)
    if not isinstance(section, dict):
        raise SettingsError(f"[search]: missing in {name}; must say what is searched, in [search.space]")
    overrides = dict(overrides or {})
    given = {**section, **{key: overrides.pop(key) for key in [*overrides] if key in SearchSettings.model_fields}}
    space = given.pop("space", None)
    if not isinstance(space, dict) or not space:
        raise SettingsError(f"[search.space]: empty or missing in {name}; must give settings as {_SPACE_FORMS}")
    fixed = {**leaves_of(table, name), **overrides}
    for leaf in SET_BY_SEARCH:
        if leaf in fixed:
            raise SettingsError(
                f"{leaf}: given in {name}, but trials end after seconds_per_trial of [search]; must be left out"
            )
    dimensions = {leaf: _dimension(leaf, value, fixed) for leaf, value in space.items()}
    settings = settings_from(None, _checked_sizes(dimensions, fixed))
    check_single(settings.family.varied(), "in a search")
    check_own_process(settings.distribution, "in a search, whose trials")
    if settings.evaluation.reference == "diffusion":
        raise SettingsError("reference = diffusion: cannot be computed in a search; must be auto, exact or none")
    return Search(_search_settings(given, name), dimensions, fixed, settings)


def _checked_sizes(space: Mapping[str, Range | Choices], fixed: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the fixed settings; refuses a size of the wave function that its kind does not have.

    Where the kind is searched too, a searched size that only one kind has is left out of the trials of the others.

    Raises:
        SettingsError: a searched size has no meaning in any trial, or a fixed one in some.
    """
    searched, kind = space.get("ansatz"), fixed.get("ansatz", defaults.ANSATZ)
    kinds = searched.choices if isinstance(searched, Choices) else (kind,)
    for leaf in space:
        if all(without_meaning(one, leaf) for one in kinds):
            raise SettingsError(
                f"[search.space] {leaf}: has no meaning for ansatz = {' or '.join(kinds)}; must be left out"
            )
    for leaf in fixed:
        lacking = [one for one in kinds if without_meaning(one, leaf)]
        if searched and lacking:
            raise SettingsError(
                f"{leaf} = {shown(fixed[leaf])}: has no meaning for ansatz = {lacking[0]}, which is searched too; "
                "must be left out, or be given in [search.space]"
            )
    return fixed


def search_to_toml(search: Search) -> str:
    """Returns the search as TOML with defaults filled in, which loads back to an equal search; None is left out."""
    lines = ["[search]", *_lines(search.search.model_dump(exclude_none=True)), "", "[search.space]"]
    for leaf, dimension in search.space.items():
        parts = {key: value for key, value in dimension._asdict().items() if value is not None}
        lines.append(f"{leaf} = {{{', '.join(_lines(parts))}}}")
    left_out = {leaf: None for leaf in (*search.space, *SET_BY_SEARCH, "run_dir")}
    return "\n".join(lines) + "\n\n" + to_toml(_without(search.settings, left_out))


def changed_setting(old: Search, new: Search) -> str | None:
    """Returns the first forbidden change between two searches, as 'name: was ..., is ...'; None if there is none.

    A search may continue to more trials, and for other search_seconds, which each command counts from zero.

    Args:
        old: the search as it was started.
        new: the search to resume.
    """
    was, now = _flat(old), _flat(new)
    for name in {**was, **now}:
        may_differ = name == "search_seconds" or (name == "max_trials" and now[name] > was[name])
        if was.get(name) != now.get(name) and not may_differ:
            return f"{name}: was {shown_setting(was.get(name))}, is {shown_setting(now.get(name))}"
    return None


def _flat(search: Search) -> dict[str, Any]:
    """Returns name -> value of all settings that decide the result of a search."""
    settings = search.settings.resolved()
    searched = {f"[search.space] {leaf}": dimension for leaf, dimension in search.space.items()}
    ignored = {"run_dir", "quiet", *search.space}
    return {
        **search.search.model_dump(),
        **searched,
        **{leaf: value for leaf, value in settings.items() if leaf not in ignored},
    }


def _without(settings: Settings, left_out: Mapping[str, None]) -> Settings:
    """Returns the settings with some set to None, which `to_toml` leaves out."""
    sections = {
        name: section.model_copy(update={leaf: None for leaf in left_out if SECTION_OF[leaf] == name})
        for name, section in settings
    }
    return settings.model_copy(update=sections)


def _lines(values: Mapping[str, Any]) -> list[str]:
    """Returns lines of TOML; JSON writes numbers, booleans, texts and lists of them in the same way."""
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


def _search_settings(given: dict[str, Any], name: str) -> SearchSettings:
    fields = SearchSettings.model_fields
    for key in given:
        if key not in fields:
            raise no_such_setting(key, fields, f", but it is in [search] of {name}")
    try:
        return SearchSettings.model_validate(given)
    except ValidationError as error:
        raise first_problem(error, given, fields) from error


def _dimension(leaf: str, given: Any, fixed: Mapping[str, Any]) -> Range | Choices:
    """Returns the searched values of one setting; each value is allowed by itself."""
    if leaf not in FIELDS:
        raise no_such_setting(leaf, FIELDS, ", but it is in [search.space]", "; train.py --help=all lists all")
    if leaf in SET_BY_SEARCH:
        raise SettingsError(
            f"{leaf}: cannot be searched, trials end after seconds_per_trial of [search]; must be left out"
        )
    if SECTION_OF[leaf] in COMMON_SECTIONS:
        raise SettingsError(
            f"{leaf}: cannot be searched, the settings in [{SECTION_OF[leaf]}] are those of all trials; "
            "must be left out of [search.space]"
        )
    if leaf in fixed:
        raise SettingsError(f"{leaf}: given both in [search.space] and in [{SECTION_OF[leaf]}], must be in one")
    keys = set(given) if isinstance(given, dict) else set()
    if keys == {"choices"}:
        return _choices(leaf, given["choices"])
    if not {"low", "high"} <= keys <= set(Range._fields):
        raise must_be(f"[search.space] {leaf}", given, _SPACE_FORMS)
    return _range(leaf, **given)


def _choices(leaf: str, values: Any) -> Choices:
    checked = [_checked(leaf, value) for value in values] if isinstance(values, list) else []
    if len(set(checked)) < 2 or len(set(checked)) < len(checked):
        raise must_be(f"[search.space] {leaf}: choices", values, "a list of different values")
    return Choices(tuple(checked))


def _checked(leaf: str, value: Any) -> Any:
    return checked_value(f"[search.space] {leaf}", value, FIELDS[leaf])


def _range(leaf: str, low: Any, high: Any, scale: Any = "linear", step: Any = None) -> Range:
    start, kind = f"[search.space] {leaf}:", value_type(leaf)
    if kind not in (int, float):
        raise SettingsError(f"{start} has no low and high; must be {{choices = [...]}}, each {allowed(leaf)}")
    low, high = _checked(leaf, low), _checked(leaf, high)
    if not low < high:
        raise must_be(f"{start} low", low, f"below high = {high}")
    if scale not in ("linear", "log"):
        raise must_be(f"{start} scale", scale, "one of linear, log")
    if scale == "log" and low <= 0:
        raise must_be(f"{start} low", low, "above 0 where scale is log")
    if step is None:
        return Range(low, high, scale)
    least, most = (1, high / low) if scale == "log" else (0, high - low)
    most = min(most, sys.float_info.max)
    is_number = isinstance(step, int | kind) and not isinstance(step, bool)
    if not (is_number and least < step <= most):  # comparisons also refuse nan, and integers too large for a float
        what = f"an integer above {least}" if kind is int else f"a number above {least}"
        raise must_be(f"{start} step", step, f"{what}, at most {most:g}")
    return Range(low, high, scale, kind(step))
