"""What is compared between the members of a family, and the table of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.exact.observables import ExactObservables
from tf_nqs.observables.file import n_occupied
from tf_nqs.observables.measure import Observables
from tf_nqs.types import Estimate

_SHOWN_OCCUPATIONS = 4
"""The table has so many of the largest; the files have all of them."""

_WIDTH = 120
"""Columns of the table where there is no terminal to ask."""


class MemberSummary(NamedTuple):
    """What is compared: without matrices, so that many members fit into memory.

    Attributes:
        title: the system in words, parts with commas between them.
        n_particles: A.
        x: grid in a_ho, shape (n_places,).
        density: n(x), shape (n_places,).
        occupations: those of at least 1e-4, descending, shape (n_occupations,).
        rms_size: sqrt(<sum_i x_i^2> / A) in a_ho.
        exact_density, exact_occupations: the exact ones of the same shapes; None where they are unknown.
    """

    title: str
    n_particles: int
    x: np.ndarray
    density: Estimate
    occupations: Estimate
    rms_size: Estimate
    exact_density: np.ndarray | None = None
    exact_occupations: np.ndarray | None = None

    @property
    def peak_density(self) -> Estimate:
        """The largest n(x) on the grid, with its error there, in 1/a_ho."""
        peak = int(np.argmax(self.density.value))
        return Estimate(self.density.value[peak], self.density.error[peak])


def summary_of(title: str, n_particles: int, observed: Observables, exact: ExactObservables | None) -> MemberSummary:
    """Returns what is compared of one member.

    Args:
        title: the system in words.
        n_particles: A.
        observed: what was measured.
        exact: the exact ground state's, or None.
    """
    value, error = observed.occupations
    kept = n_occupied(value)
    return MemberSummary(
        title,
        n_particles,
        observed.x,
        observed.density,
        Estimate(value[:kept], error[:kept]),
        observed.rms_size,
        None if exact is None else exact.density,
        None if exact is None else exact.occupations[:kept],
    )


def common_title(titles: Sequence[str]) -> str:
    """Returns the parts that all titles have."""
    return ", ".join(_common(titles))


def labels_of(titles: Sequence[str]) -> list[str]:
    """Returns the parts of each title that not all have: what varies."""
    common = _common(titles)
    return [", ".join(part for part in title.split(", ") if part not in common) for title in titles]


def _common(titles: Sequence[str]) -> list[str]:
    parts = [title.split(", ") for title in titles]
    return [part for part in parts[0] if all(part in others for others in parts)]


def members_table(members: Sequence[MemberSummary]) -> str:
    """Returns a row for each member: root-mean-square size, peak density, and the largest occupations.

    Args:
        members: at least one.
    """
    n_shown = min(_SHOWN_OCCUPATIONS, max(len(member.occupations.value) for member in members))
    header = ("Member", "Rms size (a_ho)", "Peak density (1/a_ho)", *(f"Occupation {k + 1}" for k in range(n_shown)))
    rows = []
    for label, member in zip(labels_of([member.title for member in members]), members, strict=True):
        occupations = [Estimate(*pair) for pair in zip(*member.occupations, strict=True)][:n_shown]
        cells = [_cell(one) for one in (member.rms_size, member.peak_density, *occupations)]
        rows.append((label, *cells, *[""] * (n_shown - len(occupations))))
    return terminal_table([rows], header, default_width=_WIDTH)


def _cell(estimate: Estimate) -> str:
    return format_with_error(float(estimate.value), float(estimate.error))
