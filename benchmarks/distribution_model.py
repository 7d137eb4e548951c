"""Seconds per iteration on many workers, from what one and two workers take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

WORKERS = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of workers of the table."""

LEAST_EFFICIENCY = 0.5
"""More workers pay as long as each is busy with its own walkers for this share of the time."""


class Costs(NamedTuple):
    """What an iteration and its messages cost, in seconds.

    Attributes:
        computing: of all walkers on one worker; what more workers share.
        serial: what every worker does itself, whatever their number.
        latency: from one worker to the next, of an empty message.
        per_byte: of a message, in addition.
    """

    computing: float
    serial: float
    latency: float
    per_byte: float


def fitted_messages(seconds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Returns latency and seconds per byte of messages between two workers.

    A ring of W workers sends a sum in 2 (W - 1) steps of 1/W of it each: two workers in two steps, one byte once.

    Args:
        seconds: size in bytes and seconds of sums over two workers; at least two sizes.
    """
    (small, least), (large, most) = min(seconds), max(seconds)
    per_byte = max(most - least, 0.0) / (large - small)
    return max(least - small * per_byte, 0.0) / 2, per_byte


def message_seconds(costs: Costs, n_workers: int, sizes: Sequence[float]) -> float:
    """Returns the seconds of the messages of an iteration, by a ring.

    Args:
        costs: measured.
        n_workers: W.
        sizes: of each sum over all workers, in bytes.
    """
    steps = 2 * (n_workers - 1)
    return sum(steps * (costs.latency + size / n_workers * costs.per_byte) for size in sizes)


def seconds_per_iteration(costs: Costs, n_workers: int, sizes: Sequence[float]) -> float:
    """Returns the seconds of an iteration; the arguments are those of `message_seconds`."""
    return costs.computing / n_workers + costs.serial + message_seconds(costs, n_workers, sizes)


def efficiency(costs: Costs, n_workers: int, sizes: Sequence[float]) -> float:
    """Returns the strong efficiency: seconds of one worker over those of all of them together."""
    alone = costs.computing + costs.serial
    return alone / (n_workers * seconds_per_iteration(costs, n_workers, sizes))


def last_that_pays(costs: Costs, sizes: Sequence[float]) -> int:
    """Returns the largest number of workers in `WORKERS` whose efficiency is at least `LEAST_EFFICIENCY`."""
    return max(number for number in WORKERS if number == 1 or efficiency(costs, number, sizes) >= LEAST_EFFICIENCY)


def fitted_serial(computing: float, two: float, latency: float, per_byte: float, sizes: Sequence[float]) -> Costs:
    """Returns the costs that agree with the seconds of one worker and of two.

    Args:
        computing: seconds of an iteration on one worker; its serial part is taken out of it.
        two: seconds on two workers, of as many walkers together.
        latency: as of `Costs`.
        per_byte: as of `Costs`.
        sizes: of each sum over both workers, in bytes.
    """
    messages = message_seconds(Costs(0.0, 0.0, latency, per_byte), 2, sizes)
    serial = min(max(2 * (two - messages) - computing, 0.0), computing)
    return Costs(computing - serial, serial, latency, per_byte)
