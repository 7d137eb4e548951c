"""Errors of functions of means, by leaving out one group of walkers after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tf_nqs.types import Estimate


def jackknife(
    statistic: Callable[..., np.ndarray | float], group_sums: Sequence[np.ndarray], group_counts: np.ndarray
) -> Estimate:
    """Returns a function of means with its standard error, its bias of first order in 1/n_groups removed.

    Groups hold different walkers, all times of each, so they are independent however strongly the chains are
    correlated. For a mean itself this is its standard error.

    Args:
        statistic: function of means, of any shape each.
        group_sums: for each of its arguments the sums over a group's samples, shape (n_groups, ...).
        group_counts: number of samples in each group, shape (n_groups,).
    """
    n_groups, n_samples = len(group_counts), group_counts.sum()
    totals = [sums.sum(axis=0) for sums in group_sums]
    value = np.asarray(statistic(*(total / n_samples for total in totals)))
    mean, spread = np.zeros_like(value), np.zeros_like(value)
    for group, count in enumerate(group_counts):
        pairs = zip(totals, group_sums, strict=True)
        shift = statistic(*((total - sums[group]) / (n_samples - count) for total, sums in pairs)) - value
        mean, spread = mean + shift / n_groups, spread + shift**2
    error = np.sqrt((n_groups - 1) / n_groups * np.maximum(spread - n_groups * mean**2, 0.0))
    # A bias beyond the error is no bias of first order: where a function has a kink the estimate of it is wild.
    return Estimate(value - np.clip((n_groups - 1) * mean, -error, error), error)


def with_sum(estimate: Estimate, total: float) -> Estimate:
    """Returns numbers whose sum is known: least squares, in units of the errors, puts what is missing where they vary.

    A trace has no bias, but what the jackknife takes off each eigenvalue for its own bias is bounded one by one.

    Args:
        estimate: of several numbers, shape (n,).
        total: their sum.
    """
    variances = estimate.error**2
    share = np.divide(variances, variances.sum(), out=np.zeros_like(variances), where=variances.sum() > 0)
    return estimate._replace(value=estimate.value + (total - estimate.value.sum()) * share)
