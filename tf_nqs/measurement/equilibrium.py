"""Checked burn-in: in equilibrium nothing drifts, over a time of many correlation times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tf_nqs.analysis.chain_sums import ChainSums
from tf_nqs.execution.agreement import chief_decides
from tf_nqs.types import LocalEnergy, Tensor, WalkerState

_LEAST_ROWS = 20
"""Length of the shortest stretch, in sampling calls."""

_CORRELATION_TIMES = 8.0
"""A stretch must be this many autocorrelation times long; what is left of the start is then below exp(-16)."""

_LARGEST_DRIFT = 4.0
"""Standard errors by which the halves of a stretch may differ; with two quantities 1 in 8000 stretches has more."""


class Equilibrium(NamedTuple):
    """How a burn-in ended.

    Attributes:
        walkers: the walkers after the burn-in.
        n_calls: number of sampling calls made.
        is_reached: whether the last stretch showed no drift; if false, the time was over.
    """

    walkers: WalkerState
    n_calls: int
    is_reached: bool


def reach_equilibrium(
    sample: Callable[[WalkerState], tuple[WalkerState, Tensor]],
    local_energy: Callable[[Tensor], LocalEnergy],
    walkers: WalkerState,
    n_calls: int,
    max_seconds: float,
) -> Equilibrium:
    """Moves walkers until a whole stretch of sampling calls shows equilibrium, each stretch twice as long as the last.

    Two quantities of every walker are checked, the local energy and sum_i x_i^2: the halves of the stretch must agree,
    walker by walker, and the stretch must be several of their autocorrelation times long. Walkers that start together,
    far out, pass the first check only when they have arrived; walkers that hardly move never pass the second.

    Args:
        sample: moves the walkers by one sampling call, with a width that stays; state -> (state, acceptance).
        local_energy: positions (n_walkers, n_particles) -> LocalEnergy.
        walkers: the walkers.
        n_calls: length of the first stretch; at least 20 calls are made.
        max_seconds: no further stretch is started after this time.
    """
    started, made, n_calls = time.monotonic(), 0, max(n_calls, _LEAST_ROWS)
    while True:
        record = ChainSums(walkers.positions.shape[0], 2)
        for _ in range(n_calls):
            walkers, _ = sample(walkers)
            positions = np.asarray(walkers.positions, np.float64)
            record.add(np.stack([local_energy(walkers.positions).total, np.sum(positions**2, axis=1)]))
            if chief_decides(time.monotonic() - started > max_seconds and record.n_rows >= _LEAST_ROWS):
                break
        made += record.n_rows
        if chief_decides(_is_stationary(record)):
            return Equilibrium(walkers, made, True)
        if chief_decides(time.monotonic() - started > max_seconds):
            return Equilibrium(walkers, made, False)
        n_calls *= 2


def _is_stationary(record: ChainSums) -> bool:
    times = [record.estimate(quantity).autocorrelation_time for quantity in (0, 1)]
    drifts = [abs(record.drift(quantity)) for quantity in (0, 1)]
    # Comparisons with nan are false: a local energy that is finite nowhere settles nothing, but ends here all the same.
    return not max(times) * _CORRELATION_TIMES > record.n_rows and not max(drifts) > _LARGEST_DRIFT
