"""What share of a run one process has: how many of the devices that the walkers are spread over."""

from __future__ import annotations

import os
from typing import NamedTuple

from tf_nqs.config import Settings
from tf_nqs.runtime.cluster import cluster_from


class Share(NamedTuple):
    """The part of a run that one process has.

    Attributes:
        n_replicas: devices of all processes together.
        n_own: devices of this process.
        n_neighbours: processes of the run on this machine, this one among them.
    """

    n_replicas: int = 1
    n_own: int = 1
    n_neighbours: int = 1


def share_of(settings: Settings) -> Share:
    """Returns the share of a run that this process will have, as far as it is known before TensorFlow looks for GPUs.

    Raises:
        SettingsError: the environment describes no cluster that can be used.
    """
    distribution = settings.distribution
    if distribution.strategy == "multi_worker":
        cluster = cluster_from(os.environ)
        return Share(len(cluster.workers), 1, cluster.n_here)
    n_devices = (distribution.n_devices or 1) if distribution.strategy == "mirrored" else 1
    return Share(n_devices, n_devices)
