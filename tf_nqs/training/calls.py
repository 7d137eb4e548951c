"""How a training is cut into calls of compiled iterations."""

from __future__ import annotations

from collections.abc import Iterable


def call_lengths(iterations: int, iterations_per_call: int, periods: Iterable[int] = ()) -> list[int]:
    """Returns the number of iterations of each call: as many as allowed, but a call ends at every multiple of a period.

    Args:
        iterations: of all calls together.
        iterations_per_call: of one call at most.
        periods: e.g. the windows of callbacks, which want to see the model as each window leaves it.

    Returns:
        Numbers of at least 1 whose sum is `iterations`.
    """
    ends = {iterations}.union(*(range(period, iterations, period) for period in periods))
    lengths, start = [], 0
    for end in sorted(ends):
        full, rest = divmod(end - start, iterations_per_call)
        lengths += [iterations_per_call] * full + [rest] * (rest > 0)
        start = end
    return lengths
