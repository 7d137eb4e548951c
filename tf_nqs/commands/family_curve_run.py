"""The work of `python -m tf_nqs.curve --run_dir=FAMILY`: measures members of a family. Loads TensorFlow."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from tf_nqs.commands.curve_flags import FamilyCurveRequest
from tf_nqs.commands.curve_run import digest_of_weights, identity_of_measurement, say_curves
from tf_nqs.config import Settings, SettingsError
from tf_nqs.config.errors import brief
from tf_nqs.config.members import member_label
from tf_nqs.exact import Reference
from tf_nqs.experiment.build import Run, find_reference, read_run
from tf_nqs.experiment.members import MemberTrainers
from tf_nqs.named_systems import NamedSystem
from tf_nqs.studies.curve.folder import CurveFolder
from tf_nqs.studies.curve.making import make_curves
from tf_nqs.trainer import Trainer

Place = tuple[int, float, float | None]


class MemberSource:
    """A point of a curve from a family; see `tf_nqs.studies.curve.points.PointSource`.

    Args:
        place: n_particles, interaction_strength and interaction_range of the member.
        run: of the family.
        trainers: of its members.
        settings: of the member, overridden by those of the command line.
        weights: digest of the family's weights.
        reference: known one; None to compute it.
    """

    def __init__(
        self,
        place: Place,
        run: Run,
        trainers: MemberTrainers,
        settings: Settings,
        weights: str,
        reference: Reference | None,
    ):
        self._place, self._run, self._trainers = place, run, trainers
        self._settings, self._reference = settings, reference
        self.name = member_label(settings.system)
        self.system = NamedSystem(**settings.system.resolved())
        self.target_error = settings.evaluation.target_error
        self.max_seconds = settings.evaluation.evaluation_max_seconds
        self.identity: dict[str, Any] = {**identity_of_measurement(settings), "family": weights}
        self.reference_identity: dict[str, Any] = {
            "system": list(self.system),
            "reference": None if reference is None else list(reference),
            "max_seconds": settings.evaluation.reference_max_seconds,
        }

    def trainer(self) -> Trainer:
        """Returns a compiled trainer with the member's weights; its walkers come from the member measured before."""
        return self._trainers.at(*self._place)

    def wave_function(self) -> Any:
        """Returns the member's wave function."""
        return self._run.at(*self._place, extrapolate=True).ansatz

    def reference(self) -> Reference:
        """Returns what the member's energy is compared with."""
        return find_reference(self._settings) if self._reference is None else self._reference


def curve_of_family(request: FamilyCurveRequest) -> None:
    """Measures members of a family, writes curve.csv and curve.png into its run folder, and prints tables.

    Raises:
        SettingsError: the run or the file of references cannot be read, or the folder cannot be written.
        WorkFailedError: a member has no finite energy.
    """
    run = read_run(request.folder)
    known = _references(request)
    digest = digest_of_weights(run)
    settings = {place: request.settings(place) for place in request.places}
    overrides = {"run", "evaluation"}
    some = settings[request.places[0]]

    def override(member: Settings) -> Settings:
        return member.model_copy(update={section: getattr(some, section) for section in overrides})

    trainers = MemberTrainers(run, override)
    sources = [
        MemberSource(place, run, trainers, settings[place], digest, known.get(place)) for place in request.places
    ]
    folder = CurveFolder(request.folder.path)
    with request.folder.locked_when_finished():
        made = make_curves(sources, folder, run.settings.title())
    say_curves(made, folder)


def _references(request: FamilyCurveRequest) -> dict[Place, Reference]:
    """The exact energies in the file of references; no reference for any member where none is wanted."""
    if request.reference == "none":
        return dict.fromkeys(request.places, Reference(None, "none", None))
    return {} if request.references is None else read_references(request.references)


def read_references(path: Path) -> dict[Place, Reference]:
    """Returns n_particles, interaction_strength, interaction_range -> exact energy.

    Args:
        path: a CSV file with these columns, reference_energy, reference_uncertainty and kind.

    Raises:
        SettingsError: it cannot be read.
    """
    found: dict[Place, Reference] = {}
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            for line in csv.DictReader(lines):
                width = float(line["interaction_range"]) if line["interaction_range"] else None
                place = int(line["n_particles"]), float(line["interaction_strength"]), width
                energy, uncertainty = float(line["reference_energy"]), float(line["reference_uncertainty"])
                if math.isfinite(energy):
                    found[place] = Reference(energy, line["kind"], uncertainty)
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise SettingsError(f"references = {str(path)!r}: cannot be read ({brief(error)})") from error
    return found
