"""A point of a curve: where its wave function comes from, and what is measured of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from tf_nqs.analysis.notation import finite_or_none
from tf_nqs.config.errors import RunFolderError, brief, shown
from tf_nqs.exact import NO_REFERENCE, Reference
from tf_nqs.named_systems import NamedSystem
from tf_nqs.storage.files import UNREADABLE_ARRAYS, replace_file
from tf_nqs.trainer import Trainer
from tf_nqs.types import Estimate


class PointSource(Protocol):
    """Where a point comes from: the run of a single system, or a member of a family.

    Attributes:
        name: of the run or the member, for messages and files.
        system: the names and parameters of its Hamiltonian, the range that is used among them.
        identity: what a measurement depends on: settings, and a digest of the weights; values that JSON can hold.
        reference_identity: what its reference depends on.
        target_error: wanted standard error of the energy, in hbar*omega.
        max_seconds: longest time of burn-in and measurement, not counting compilation.
    """

    name: str
    system: NamedSystem
    identity: dict[str, Any]
    reference_identity: dict[str, Any]
    target_error: float
    max_seconds: float

    def trainer(self) -> Trainer:
        """Returns a compiled trainer with the wave function of the point, and new walkers."""

    def wave_function(self) -> Any:
        """Returns the wave function alone, positions (n_walkers, n_particles) -> SignedLog."""

    def reference(self, positions: np.ndarray) -> Reference:
        """Returns the exact energy that the point is compared with.

        Args:
            positions: samples of the wave function, shape (n_samplings, n_walkers, n_particles), in a_ho.
        """


class CurvePoint(NamedTuple):
    """What was measured of one wave function; energies in hbar*omega, lengths in a_ho.

    Attributes:
        name: of its source.
        system: the names and parameters of its Hamiltonian.
        energy: with its standard error, as all estimates here.
        variance: of the local energy.
        kinetic: energy.
        trap: energy.
        interaction: energy.
        rms_size: sqrt(<sum_i x_i^2>/A).
        slopes: parameter -> <dH/d lambda>, see `tf_nqs.physics.slopes`.
        n_samples: samples counted.
        target_error: that was wanted of the energy.
        in_equilibrium: whether the burn-in ended in equilibrium.
        is_mixed: whether the Markov chains agree.
        reference: what the energy is compared with.
    """

    name: str
    system: NamedSystem
    energy: Estimate
    variance: float
    kinetic: Estimate
    trap: Estimate
    interaction: Estimate
    rms_size: Estimate
    slopes: dict[str, Estimate]
    n_samples: int
    target_error: float
    in_equilibrium: bool
    is_mixed: bool
    reference: Reference = NO_REFERENCE

    @property
    def deviation(self) -> Estimate:
        """Energy minus reference, with the errors of both; nan without a reference."""
        reference = self.reference
        if reference.energy is None or reference.uncertainty is None:
            return Estimate(math.nan, math.nan)
        return Estimate(self.energy.value - reference.energy, math.hypot(self.energy.error, reference.uncertainty))

    @property
    def deviation_in_sigma(self) -> float:
        """The deviation in units of its error; nan if unknown."""
        value, error = self.deviation
        return value / error if error > 0 else math.nan


_ESTIMATES = ("energy", "kinetic", "trap", "interaction", "rms_size")


class StoredPoint(NamedTuple):
    """A point with what makes its measurement worth keeping.

    Attributes:
        point: what was measured.
        positions: samples of its wave function, shape (n_samplings, n_walkers, n_particles), in a_ho.
        reference_identity: of the source when its reference was found.
    """

    point: CurvePoint
    positions: np.ndarray
    reference_identity: dict[str, Any]


def write_point(path: Path, stored: StoredPoint) -> None:
    """Writes a point; a file of this name is always whole.

    Raises:
        OSError: it cannot be written.
    """
    point = stored.point
    entries = point._asdict() | {"system": point.system._asdict(), "reference": point.reference._asdict()}
    entries |= {name: _entry(getattr(point, name)) for name in _ESTIMATES}
    entries |= {"variance": finite_or_none(point.variance)}
    entries |= {"slopes": {name: _entry(one) for name, one in point.slopes.items()}}
    text = json.dumps({"point": entries, "reference_identity": stored.reference_identity}, allow_nan=False)

    def write(unfinished: Path) -> None:
        with unfinished.open("wb") as file:
            np.savez(file, record=text, positions=stored.positions)

    replace_file(path, write)


def read_point(path: Path) -> StoredPoint | None:
    """Returns a point that was measured earlier; None if there is no file.

    Raises:
        RunFolderError: the file cannot be read.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            record, positions = json.loads(str(file["record"])), np.asarray(file["positions"])
        entries = record["point"]
        entries |= {name: _estimate(entries[name]) for name in _ESTIMATES}
        entries["slopes"] = {name: _estimate(one) for name, one in entries["slopes"].items()}
        entries["variance"] = math.nan if entries["variance"] is None else float(entries["variance"])
        entries["system"] = NamedSystem(**entries["system"])
        entries["reference"] = Reference(**entries["reference"])
        point = CurvePoint(**entries)
        if positions.ndim != 3 or positions.shape[2] != point.system.n_particles:
            raise ValueError("positions of another shape")
        return StoredPoint(point, positions, dict(record["reference_identity"]))
    except UNREADABLE_ARRAYS as error:
        raise RunFolderError(
            f"{shown(str(path))}: cannot be read ({brief(error)}); must be deleted to measure this point again"
        ) from error


def _entry(estimate: Estimate) -> list[float | None]:
    return [finite_or_none(float(number)) for number in estimate]


def _estimate(entry: list[float | None]) -> Estimate:
    value, error = (math.nan if number is None else float(number) for number in entry)
    return Estimate(value, error)
