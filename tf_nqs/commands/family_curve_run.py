"""The work of `python -m tf_nqs.curve --run_dir=FAMILY`: measures members of a family. Loads TensorFlow."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

from tf_nqs.commands.curve_flags import FamilyCurveRequest
from tf_nqs.commands.curve_run import make_and_say
from tf_nqs.commands.curve_source import Source, digest_of_weights
from tf_nqs.commands.opened_run import workers_of
from tf_nqs.config import Settings, SettingsError
from tf_nqs.config.errors import brief
from tf_nqs.config.members import member_label
from tf_nqs.exact import NO_REFERENCE, Reference
from tf_nqs.experiment.build import find_reference, read_run
from tf_nqs.experiment.members import MemberTrainers, wave_functions_of_members
from tf_nqs.storage.curve_folder import CurveFolder

Place = tuple[int, float, float | None]

_ADVICE = "--reference=diffusion can compute it"


def source_of_member(
    place: Place,
    wave_functions: Callable[[float, float | None], Callable],
    trainers: MemberTrainers,
    settings: Settings,
    weights: str,
    reference: str,
    known: Reference,
) -> Source:
    """Returns a member of a family as a point of a curve.

    Args:
        place: n_particles, interaction_strength and interaction_range of the member.
        wave_functions: of the members of the family, see `wave_functions_of_members`.
        trainers: of the members.
        settings: of the member, overridden by those of the command line.
        weights: digest of the family's weights.
        reference: auto, exact, diffusion or none.
        known: an exact energy that need not be computed, with energy None if there is none.
    """
    is_given = reference in ("none", "diffusion") or known.energy is not None
    return Source(
        member_label(settings.system),
        settings,
        {"family": weights},
        lambda: trainers.at(*place),
        lambda: wave_functions(*place[1:]),
        reference,
        lambda: known if is_given else find_reference(settings),
        {"reference": list(known) if is_given else None},
    )


def curve_of_family(request: FamilyCurveRequest) -> None:
    """Measures members of a family, writes curve.csv and curve.png into its run folder, and prints tables.

    Raises:
        SettingsError: the run or the file of references cannot be read, or the folder cannot be written.
        WorkFailedError: a member has no finite energy.
    """
    settings = {place: request.settings(place) for place in request.places}
    some = settings[request.places[0]]
    workers = workers_of([*settings.values()], (str(request.folder), request.reference))

    def override(member: Settings) -> Settings:
        return member.model_copy(update={section: getattr(some, section) for section in ("run", "evaluation")})

    with workers.messages(some.run.quiet):
        run, known = read_run(request.folder), _references(request)
        shared, digest = (wave_functions_of_members(run), MemberTrainers(run, override)), digest_of_weights(run)
        sources = [
            source_of_member(place, *shared, settings[place], digest, request.reference, known.get(place, NO_REFERENCE))
            for place in request.places
        ]
        folder, locked = CurveFolder(request.folder.path), request.folder.locked_when_finished
        advice = _ADVICE if request.reference == "auto" and some.system.has_trap else ""
        make_and_say(sources, folder, run.settings.title(), workers, locked, advice)


def _references(request: FamilyCurveRequest) -> dict[Place, Reference]:
    """The exact energies in the file of references."""
    return {} if request.references is None else read_references(request.references)


def read_references(path: Path) -> dict[Place, Reference]:
    """Returns n_particles, interaction_strength, interaction_range -> exact energy.

    Args:
        path: a CSV file with these columns, reference_energy, reference_uncertainty and kind.

    Raises:
        SettingsError: it cannot be read, or an energy has no uncertainty.
    """
    found: dict[Place, Reference] = {}
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            for line in csv.DictReader(lines):
                width = float(line["interaction_range"]) if line["interaction_range"] else None
                place = int(line["n_particles"]), float(line["interaction_strength"]), width
                energy, uncertainty = (
                    math.nan if line[name] == "" else float(line[name])  # as benchmarks.references writes it
                    for name in ("reference_energy", "reference_uncertainty")
                )
                if not math.isfinite(energy):
                    continue
                if not 0 <= uncertainty < math.inf:
                    raise ValueError(f"reference_uncertainty = {uncertainty}")
                found[place] = Reference(energy, line["kind"], uncertainty)
    except (KeyError, OSError, TypeError, ValueError, csv.Error) as error:
        raise SettingsError(f"references = {str(path)!r}: cannot be read ({brief(error)})") from error
    return found
