"""The flags of `python -m tf_nqs.curve`, and the check of what was given."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any, NamedTuple

from tf_nqs.commands.finished_run import check_place, check_single_system
from tf_nqs.commands.flags import DISTRIBUTION, NOT_OF_THE_RUN, Flag, Given, choice_flag, setting_flag, switch_flag
from tf_nqs.config import RunFolderError, Settings, SettingsError, settings_from
from tf_nqs.config.errors import must_be, must_be_given, shown
from tf_nqs.config.family import VARIED
from tf_nqs.config.system import check_diffusion
from tf_nqs.experiment.memory import check_measurement
from tf_nqs.storage.run_folder import RunFolder, bears_mark

SETTINGS = ("target_error", "evaluation_max_seconds", "reference_max_seconds", "seed", "quiet", *DISTRIBUTION)

MARK = ".curve"
"""File that says that a folder is that of a curve."""

_MOST_POINTS = 10_000
"""More are a misspelled number, not a curve."""

RANGE_ALLOWED = "a number, or low:high:number of points, as -20:20:41, with low < high, from 2 to 10000 points"
_NUMBERS_ALLOWED = "integers of at least 1, each once, with commas between them"
_RUNS_ALLOWED = "folders of finished runs, each named once, with commas between them"
_REFERENCES_ALLOWED = "a CSV file with the columns of benchmarks/reference_energies"
_FOLDER_ALLOWED = "a new or an empty folder, or that of an earlier curve"


class FamilyCurveRequest(NamedTuple):
    """Members of a family, asked for on the command line.

    Attributes:
        folder: of the family's run.
        places: n_particles, interaction_strength and interaction_range of each member; None for an interaction that has
            no range.
        overrides: name -> value of the settings that differ from those of the run.
        reference: auto, exact, diffusion or none.
        references: CSV file of exact energies; None to compute them.
    """

    folder: RunFolder
    places: tuple[tuple[int, float, float | None], ...]
    overrides: dict[str, Any]
    reference: str
    references: Path | None

    def settings(self, place: tuple[int, float, float | None]) -> Settings:
        """Returns the settings of a member, overridden by those of the command line."""
        return settings_from(self.folder.config, self.overrides).member(*place, extrapolate=True)


class CurveRequest(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        folders: of the runs.
        output: folder of the curve.
        overrides: name -> value of the settings that differ from those of the runs.
        reference: auto, exact, diffusion or none.
    """

    folders: tuple[RunFolder, ...]
    output: Path
    overrides: dict[str, Any]
    reference: str

    def settings(self, folder: RunFolder) -> Settings:
        """Returns the settings of a run, overridden by those of the command line."""
        return settings_from(folder.config, self.overrides)


def curve_flags() -> list[Flag]:
    """Returns the flags."""
    runs = f"Runs of single systems ({_RUNS_ALLOWED})."
    output = f"With run_dirs: folder of the curve ({_FOLDER_ALLOWED}). The curve of a family is in its run folder."
    family = "Folder of the run of a family, instead of run_dirs; the flags of the systems choose the members."
    file = "File of exact energies, such as benchmarks/reference_energies/paper.csv, used before any is computed."
    further = "Allow members outside the trained values (true or false; default: false)."
    reference = (
        "Energy that each measured one is compared with: the exact one (exact), one by diffusion Monte Carlo, which "
        "takes at most evaluation_max_seconds more for each point (diffusion), or none. auto takes the exact one if "
        "there is one, else that in diffusion.json."
    )
    defaults = {"quiet": "false", "strategy": "none"}
    return [
        Flag("run_dirs", runs, _RUNS_ALLOWED, read=_names),
        Flag("output", output, _FOLDER_ALLOWED),
        Flag("run_dir", family, "the folder of a finished run of a family"),
        *parameter_flags(),
        switch_flag("extrapolate", further, "family", label="--[no]extrapolate"),
        choice_flag("reference", reference, ("auto", "exact", "diffusion", "none")),
        Flag("references", file, _REFERENCES_ALLOWED),
        *(setting_flag(name, default=defaults.get(name, "each run's own")) for name in SETTINGS),
    ]


def parameter_flags() -> list[Flag]:
    """Returns the flags of the systems that a family is measured at."""
    texts = {
        "n_particles": "Numbers of fermions, a curve for each of them",
        "interaction_strength": "Strength of the interaction",
        "interaction_range": "Range of the interaction in units of a_ho",
    }
    return [
        Flag(
            name,
            f"{text} ({_NUMBERS_ALLOWED if name == 'n_particles' else RANGE_ALLOWED}).",
            _NUMBERS_ALLOWED if name == "n_particles" else RANGE_ALLOWED,
            "family",
            read=read_numbers if name == "n_particles" else read_range,
            label=f"--{name}",
        )
        for name, text in texts.items()
    ]


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not all(names):
        raise ValueError(text)
    return names


def read_range(text: str) -> tuple[float, ...]:
    """Returns the numbers that a range spells: -20:20:41 is -20, -19, ..., 20; a number alone is itself.

    Both ends are included, exactly, and the points are evenly spaced.

    Args:
        text: a number, or low:high:number of points.

    Raises:
        ValueError: it is neither, the range is empty or reversed, or too short for so many different points.
    """
    parts = _spelled(text).split(":")
    if len(parts) not in (1, 3):
        raise ValueError(text)
    ends = [float(part) for part in parts[:2]]
    if not all(map(math.isfinite, ends)):
        raise ValueError(text)
    if len(parts) == 1:
        return (ends[0],)
    (low, high), n_points = ends, int(parts[2])
    if not low < high or not 2 <= n_points <= _MOST_POINTS:
        raise ValueError(text)
    # Weighted ends, rounded to what the spacing resolves: -20:20:41 has 0.1 as 0.1, not as 0.09999999999999787.
    digits = max(0, 12 - math.floor(math.log10(max(abs(low), abs(high)))))
    inner = [(low * (n_points - 1 - k) + high * k) / (n_points - 1) for k in range(1, n_points - 1)]
    points = (low, *(round(value, digits) for value in inner), high)
    if len(set(points)) < n_points:
        raise ValueError(text)
    return points


def read_numbers(text: str) -> tuple[int, ...]:
    """Returns the numbers of particles that a text lists, such as 2,3,4.

    Raises:
        ValueError: they are no integers of at least 1, or one comes twice.
    """
    numbers = tuple(int(part) for part in _spelled(text).split(","))
    if min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise ValueError(text)
    return numbers


def _spelled(text: str) -> str:
    """Returns the text; raises ValueError for digits that Python reads but no other command does."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return text


def request_of(given: Given) -> CurveRequest | FamilyCurveRequest:
    """Returns the request, after checks that need no TensorFlow; nothing is written.

    Raises:
        SettingsError: neither runs nor a family are named, or both; a folder is no run's, or cannot be used for the
            curve; the runs differ by more than numbers; a member is none of the family; several machines cannot do it;
            the strategy would ignore a flag.
    """
    if given.own.get("reference") == "diffusion" and given.settings.get("strategy") == "multi_worker":
        raise SettingsError(
            "reference = diffusion contradicts strategy = multi_worker, whose workers would wait for the chief: must "
            "be auto, exact or none, or strategy be none or mirrored"
        )
    check_place(NOT_OF_THE_RUN | given.settings)
    of_family = ("run_dir", *VARIED, "extrapolate", "references")
    of_runs = ("run_dirs", "output")
    for name in of_runs if "run_dir" in given.own else of_family:
        if name in given.own:
            other = "run_dir" if "run_dir" in given.own else "run_dirs"
            raise SettingsError(f"{name} = {shown(given.own[name])}: has no meaning with {other}; must be left out")
    if "run_dir" in given.own:
        return _family_request(given)
    for name in of_runs:
        if name not in given.own:
            allowed = _RUNS_ALLOWED if name == "run_dirs" else _FOLDER_ALLOWED
            raise must_be_given(name, f"{allowed}, or run_dir, the folder of the run of a family")
    return _runs_request(given)


def _family_request(given: Given) -> FamilyCurveRequest:
    """The members of a family, each of which it has."""
    folder = RunFolder.finished(given.own["run_dir"])
    settings = folder.settings
    if not settings.is_family:
        raise RunFolderError(f"{folder.name}: is the run of a single system; must be that of a family, or use run_dirs")
    asked: dict[str, tuple[Any, ...]] = {name: given.own.get(name, (None,)) for name in VARIED}
    several = [name for name in VARIED[1:] if len(asked[name]) > 1]
    if len(several) > 1:
        raise SettingsError(
            f"{' and '.join(several)}: only one of them may vary along a curve; the other must be one number"
        )
    places = []
    for number, strength, width in itertools.product(*asked.values()):
        system = settings.member(number, strength, width, given.own.get("extrapolate", False)).system
        found = system.resolved()
        places.append((system.n_particles, system.interaction_strength, found["interaction_range"]))
    references = given.own.get("references")
    file = None if references is None else Path(references).expanduser()
    if file is not None and not file.is_file():
        raise SettingsError(f"references = {shown(references)}: is not a file; must be {_REFERENCES_ALLOWED}")
    overrides = NOT_OF_THE_RUN | given.settings
    reference = given.own.get("reference", "auto")
    if file is not None and reference == "none":
        raise SettingsError(
            f"references = {shown(references)}: has no meaning with reference = none; must be left out, or reference "
            "be auto, exact or diffusion"
        )
    _check_reference(reference, folder, "run_dir")
    request = FamilyCurveRequest(folder, tuple(places), overrides, reference, file)
    check_measurement(request.settings(max(places, key=lambda place: place[0])))
    return request


def _runs_request(given: Given) -> CurveRequest:
    """The runs, which differ by numbers alone, and a folder for their curve."""
    folders = tuple(RunFolder.finished(name, "run_dirs") for name in given.own["run_dirs"])
    for folder in folders:
        check_single_system(folder)
    places = [folder.path.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise SettingsError(f"run_dirs: {folder} is named more than once; must be {_RUNS_ALLOWED}")
    output = _usable(given.own["output"])
    request = CurveRequest(folders, output, NOT_OF_THE_RUN | given.settings, given.own.get("reference", "auto"))
    first = folders[0].settings.system
    for folder in folders:
        _check_reference(request.reference, folder, "run_dirs")
        check_measurement(request.settings(folder))
        _ = folder.result_values  # refused if it cannot be used
        for name in ("interaction", "trap"):
            own, others = getattr(folder.settings.system, name), getattr(first, name)
            if own != others:
                raise RunFolderError(
                    f"run_dirs: {name} is {others} in {folders[0]} and {own} in {folder}; must be the same in all runs"
                )
    return request


def _check_reference(reference: str, folder: RunFolder, setting: str) -> None:
    """Refuses references by diffusion for a run, named by a setting, that has no trap."""
    if reference == "diffusion":
        check_diffusion(folder.settings.system, f" of {setting} = {shown(str(folder))}")


def _usable(output: str) -> Path:
    """Returns the folder of a curve; refuses one that holds something else, before it is claimed."""
    try:
        folder = Path(output).expanduser()
        if bears_mark(folder, MARK) or not folder.exists():
            return folder
        if not folder.is_dir() or any(folder.iterdir()):
            what = "holds files that do not belong to a curve" if folder.is_dir() else "is a file"
            raise SettingsError(f"output = {shown(output)}: {what}; must be {_FOLDER_ALLOWED}")
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, SettingsError):
            raise
        raise must_be("output", output, _FOLDER_ALLOWED) from error
    return folder
