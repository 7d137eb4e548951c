"""The members of a family from separate runs and from a warm chain, in as many seconds of training in total."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from benchmarks.deviations import Arm, measured
from benchmarks.references import Row
from benchmarks.single_runs import Kept, SingleRuns, outwards, settings_of_single
from tf_nqs.config import Settings

ARMS = ("separate", "warm_chain")
"""New random weights for each system; weights and walkers of one system for the next one."""


def train_arm(
    name: str, family: Settings, rows: Sequence[Row], seconds: float, max_seconds: float, changes: dict[str, Any]
) -> Arm:
    """Trains and measures each system in its share of the seconds.

    Args:
        name: one of `ARMS`.
        family: settings of the family's run.
        rows: the systems.
        seconds: of training, for all of them. What one training takes too long, the next ones have less.
        max_seconds: of each measurement.
        changes: settings of the single runs that are others than by default.
    """
    seed, used, n_iterations, n_done = family.run.seed, 0.0, 0, 0
    found = []
    for _, group in itertools.groupby(sorted(rows, key=_kind), key=_kind):
        members = list(group)
        trainer = SingleRuns(settings_of_single(family, members[0], changes))
        kept: dict[Row, Kept] = {}
        order = outwards(members) if name == "warm_chain" else [(row, None) for row in members]
        for row, source in order:
            n_done += 1
            trainer.begin_at(row, seed, kept[source] if source else None)
            used += trainer.train(seconds * n_done / len(rows) - used)
            n_iterations += int(trainer.vmc.iteration)
            found.append(measured(trainer.vmc, row, max_seconds))
            kept[row] = trainer.kept()
    return Arm(seed, f"{family.ansatz.ansatz}, {name.replace('_', ' ')}", used, n_iterations, found)


def _kind(row: Row) -> tuple[int, float]:
    """What a compiled trainer is made for: the unit of distances of its network follows from the range."""
    return row.n_particles, row.interaction_range
