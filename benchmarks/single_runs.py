"""Trainings of single systems by one compiled trainer, which goes from system to system."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.references import Row
from benchmarks.transfer import Trainer
from tf_nqs.config import Settings, settings_from
from tf_nqs.types import WalkerState

_MOST_ITERATIONS = 10**6
"""Of a training that ends by the time it is given."""

_LEAST_SECONDS = 1e-3


class Kept(NamedTuple):
    """What a training starts from.

    Attributes:
        weights: of the wave function.
        walkers: None for new ones.
    """

    weights: list[np.ndarray]
    walkers: WalkerState | None = None


class SingleRuns(Trainer):
    """A compiled trainer that is given one system after the other; strength and range are data of it.

    Args:
        settings: of one of the systems; the others have as many particles and the same wave function.
    """

    def begin_at(self, row: Row, seed: int, kept: Kept | None = None) -> None:
        """Starts the training of a system, with a new optimiser.

        Args:
            row: the system.
            seed: of weights and walkers.
            kept: what it starts from; None for random weights, prepared as those of a run are.
        """
        from tf_nqs.experiment.start import Start

        values = {"interaction_strength": row.interaction_strength, "interaction_range": row.interaction_range}
        system = self.settings.system.model_copy(update=values)
        self.settings = self.settings.model_copy(update={"system": system})
        self.vmc.system.assign(**values)
        self.begin(seed, is_prepared=kept is None)
        if kept is None:
            return
        self.vmc.ansatz.set_weights(kept.weights)
        if kept.walkers is not None:
            self.vmc.place_walkers(kept.walkers, burn_in=False)
        else:  # as a run does that starts from the member of a family
            Start(transfer={"kind": "family"}).prepare(self.vmc, self.settings)

    def kept(self) -> Kept:
        """Returns weights and walkers as they are now."""
        return Kept(self.vmc.ansatz.get_weights(), self.vmc.walkers)

    def train(self, seconds: float) -> float:
        """Trains for some time, burn-in included where it is needed; returns the seconds that it took."""
        from tf_nqs.callbacks import RepairTraining, TimeLimit

        started = time.monotonic()
        limit = TimeLimit(max(seconds, _LEAST_SECONDS))
        self.vmc.fit(_MOST_ITERATIONS, callbacks=[RepairTraining(self.settings.training.max_repairs), limit])
        return time.monotonic() - started


def settings_of_single(family: Settings, row: Row, changes: dict[str, Any]) -> Settings:
    """Returns the settings of a single run of a system, with the wave function of a family and all else as by default.

    Args:
        family: settings of the family's run.
        row: the system.
        changes: setting -> value, of those that are to be others.
    """
    system = family.member(*row.system, extrapolate=True).system.model_dump()
    return settings_from(None, system | {"ansatz": family.ansatz.ansatz, "seed": family.run.seed} | changes)


def outwards(rows: Sequence[Row]) -> list[tuple[Row, Row | None]]:
    """Returns the order of a warm chain: each system with the one that it starts from, None for random weights.

    It starts from the weakest interaction, and goes to the strongest repulsion, and then to the strongest attraction.
    """
    ordered = sorted(rows, key=lambda row: row.interaction_strength)
    weakest = min(range(len(ordered)), key=lambda index: abs(ordered[index].interaction_strength))
    steps: list[tuple[Row, Row | None]] = [(ordered[weakest], None)]
    steps += [(ordered[index], ordered[index - 1]) for index in range(weakest + 1, len(ordered))]
    return steps + [(ordered[index], ordered[index + 1]) for index in range(weakest - 1, -1, -1)]
