"""The processes that share a run, and what they settle before anything is written."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import tensorflow as tf

from tf_nqs.config import SettingsError
from tf_nqs.config.distribution import DistributionSettings
from tf_nqs.execution.agreement import is_chief, numbers_together
from tf_nqs.execution.replicas import n_processes, scope_of
from tf_nqs.runtime.strategy import opened_strategy
from tf_nqs.runtime.terminal import printed_messages

T = TypeVar("T")


def joined(distribution: DistributionSettings) -> Workers:
    """Opens the strategy that the settings name, and returns the workers of the run; raises as `opened_strategy`."""
    return Workers(opened_strategy(distribution.strategy, distribution.n_devices, distribution.worker_timeout))


class Workers:
    """The processes that share a run, seen from one of them; most often it is alone.

    All call the same methods in the same order: each method waits for the others.

    Args:
        strategy: of the run; None for one device.

    Attributes:
        strategy: of the run.
        n_replicas: number of devices of all processes together.
        n_own_replicas: number of devices of this process.
        number: of this process, from 0.
        is_chief: whether this process is the one that writes and prints.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy
        self.n_replicas = strategy.num_replicas_in_sync if strategy else 1
        resolver = strategy.cluster_resolver if strategy else None
        self.number: int = resolver.task_id if resolver else 0
        with self.scope():
            self._n_workers, self.is_chief = n_processes(), is_chief()
        self.n_own_replicas = self.n_replicas // self._n_workers

    def scope(self) -> AbstractContextManager[Any]:
        """Returns the scope of the strategy, for what is built, trained and measured, not for what is written."""
        return scope_of(self.strategy)

    def messages(self, quiet: bool) -> AbstractContextManager[None]:
        """Returns a context in which the chief alone prints messages, unless it is quiet; all print errors."""
        return printed_messages(quiet or not self.is_chief)

    def wait(self) -> None:
        """Returns when all workers have come here."""
        self._gathered(0.0)

    def check_same(self, what: str) -> None:
        """Refuses workers that were given different settings, on all of them.

        Args:
            what: all that must be the same, as text.

        Raises:
            SettingsError: some worker has another text than the chief.
        """
        sums = self._gathered(zlib.crc32(what.encode()))
        if others := [str(worker) for worker, one in enumerate(sums) if one != sums[0]]:
            raise SettingsError(
                f"strategy = multi_worker: worker {', '.join(others)} has other settings, or another version, than "
                "worker 0; all must be started by the same command"
            )

    def prepared(self, prepare: Callable[[], T]) -> T:
        """Returns what this worker has prepared, once all have; none goes on if one refuses.

        Args:
            prepare: raises a SettingsError to refuse.

        Raises:
            SettingsError: this worker has refused, or another one.
        """
        refusal: SettingsError | None = None
        results = []
        try:
            results.append(prepare())
        except SettingsError as error:
            refusal = error
        refused = [str(worker) for worker, one in enumerate(self._gathered(float(refusal is not None))) if one]
        if refusal is not None:
            raise refusal
        if refused:
            raise SettingsError(f"strategy = multi_worker: worker {', '.join(refused)} has refused, and says why")
        return results[0]

    def _gathered(self, number: float) -> list[float]:
        """Returns the numbers of all workers, which are exact in float64."""
        own = [0.0] * self._n_workers
        own[self.number] = number
        with self.scope():
            return numbers_together(own)
