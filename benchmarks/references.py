"""Computes the exact energies that families of systems are compared with, and keeps them in files.

Usage: python -m benchmarks.references [--sets off_grid paper plane card] [--max_seconds=300]

One CSV file for each set of systems in benchmarks/reference_energies. What a file holds is not computed again, so the
same command continues where an interrupted one stopped; points with A <= 4, which take seconds, come first.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.report import say
from tf_nqs.exact import reference_energy
from tf_nqs.storage.files import replace_text

FOLDER = Path(__file__).with_name("reference_energies")
STRENGTHS, RANGES, N_PARTICLES = (-20.0, 20.0), (0.25, 1.0), (2, 3, 4, 5, 6)
RANGE = 0.5
"""Of the sets in which only the strength, or the number of particles too, varies."""

_EASY = 4
"""Largest number of particles whose reference takes seconds."""


class System(NamedTuple):
    """A system with a Gaussian interaction in the harmonic trap.

    Attributes:
        n_particles: number of fermions A.
        interaction_strength: V0 in hbar*omega*a_ho.
        interaction_range: sigma0 in a_ho.
    """

    n_particles: int
    interaction_strength: float
    interaction_range: float


class Row(NamedTuple):
    """A line of a file: a system and its exact energy, in hbar*omega.

    Attributes:
        reference_energy: nan if none could be computed in time.
        reference_uncertainty: maximum distance of the ground state below a reference of kind "diagonalisation".
        kind: as of `tf_nqs.exact.Reference`.
    """

    n_particles: int
    interaction_strength: float
    interaction_range: float
    reference_energy: float
    reference_uncertainty: float
    kind: str

    @property
    def system(self) -> System:
        """The system alone."""
        return System(*self[:3])


def off_grid() -> list[System]:
    """Returns 19 strengths of four particles that no training has as a grid point: -19.7, -17.54, ..., 19.18."""
    return [System(4, round(-19.7 + 2.16 * k, 2), RANGE) for k in range(19)]


def paper() -> list[System]:
    """Returns the 205 systems of Keeble et al., arXiv:2304.04725: A = 2 to 6, V0 = -20, -19, ..., 20."""
    return [System(a, float(strength), RANGE) for a in N_PARTICLES for strength in np.linspace(*STRENGTHS, 41)]


def plane() -> list[System]:
    """Returns 25 points of strength and range for four particles."""
    return [System(4, *_point(index)) for index in range(1, 26)]


def card() -> list[System]:
    """Returns 50 points of strength and range, ten for each number of particles; none of them is one of `plane`."""
    return sorted(System(N_PARTICLES[index % 5], *_point(index)) for index in range(26, 76))


def _point(index: int) -> tuple[float, float]:
    """Returns a strength and a range from the Halton sequence of bases 2 and 3, rounded to three digits."""
    shares = (radical_inverse(index, 2), radical_inverse(index, 3))
    strength, width = (low + (high - low) * u for u, (low, high) in zip(shares, (STRENGTHS, RANGES), strict=True))
    return round(strength, 3), round(width, 3)


def radical_inverse(index: int, base: int) -> float:
    """Returns the digits of an integer >= 0 mirrored at the point: 6 = 110 in base 2 gives 0.011 = 3/8."""
    value, scale = 0.0, 1.0
    while index:
        index, digit = divmod(index, base)
        scale /= base
        value += digit * scale
    return value


SETS: dict[str, Callable[[], list[System]]] = {"off_grid": off_grid, "paper": paper, "plane": plane, "card": card}


def read_rows(name: str, folder: Path = FOLDER) -> list[Row]:
    """Returns the known references of a set, in its order; empty if there is no file yet.

    Args:
        name: of the set.
        folder: of the files.
    """
    file = folder / f"{name}.csv"
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return [_row(line) for line in csv.DictReader(lines)]


def _row(line: dict[str, str]) -> Row:
    numbers = [math.nan if line[name] == "" else float(line[name]) for name in Row._fields[1:5]]
    return Row(int(line["n_particles"]), *numbers, line["kind"])


def write_rows(name: str, rows: list[Row], folder: Path = FOLDER) -> None:
    """Writes the file of a set, whole or not at all; the rows in the order of the set."""
    order = {system: place for place, system in enumerate(SETS[name]())}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    for row in sorted(rows, key=lambda row: order[row.system]):
        writer.writerow(["" if isinstance(value, float) and math.isnan(value) else value for value in row])
    folder.mkdir(exist_ok=True)
    replace_text(folder / f"{name}.csv", text.getvalue())


def compute(system: System, max_seconds: float) -> Row:
    """Returns the reference of a system.

    Args:
        system: which.
        max_seconds: wall time allowed to the diagonalisation.
    """
    found = reference_energy(*system, max_seconds=max_seconds)
    energy, uncertainty = (math.nan if value is None else value for value in (found.energy, found.uncertainty))
    return Row(*system, energy, uncertainty, found.kind)


def missing(names: list[str], folder: Path = FOLDER) -> list[tuple[str, System]]:
    """Returns the systems without an energy, and their sets; those of few particles first."""
    known = {name: {row.system for row in _with_energy(name, folder)} for name in names}
    left = [(name, system) for name in names for system in SETS[name]() if system not in known[name]]
    return sorted(left, key=lambda one: one[1].n_particles > _EASY)


def _with_energy(name: str, folder: Path) -> list[Row]:
    return [row for row in read_rows(name, folder) if math.isfinite(row.reference_energy)]


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> None:
    """Computes what is missing, and writes each energy to its file at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--max_seconds", type=float, default=300.0, help="maximum seconds for each system")
    flags = parser.parse_args(arguments)
    left = missing(flags.sets, folder)
    for number, (name, system) in enumerate(left, start=1):
        begun = time.monotonic()
        row = compute(system, flags.max_seconds)
        write_rows(name, [*(one for one in read_rows(name, folder) if one.system != system), row], folder)
        a, strength, width, energy, uncertainty, kind = row
        numbers = f"{energy:.6f}, uncertainty {uncertainty:.0e} ({kind}, {time.monotonic() - begun:.1f} s)"
        say(f"{number}/{len(left)} {name}: A = {a}, V0 = {strength:g}, sigma0 = {width:g}: {numbers}")
    for name in flags.sets:
        rows = _with_energy(name, folder)
        worst = max((row.reference_uncertainty for row in rows), default=math.nan)
        say(f"{name}: {len(rows)} of {len(SETS[name]())} systems, largest uncertainty {worst:.0e}")


if __name__ == "__main__":
    main()
