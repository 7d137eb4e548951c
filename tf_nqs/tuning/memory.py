"""Whether a trial fits into memory, told from its settings alone."""

from __future__ import annotations

from pathlib import Path

from tf_nqs.config import Settings

GIBIBYTE = 2**30

_MEMORY_INFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def n_parameters(settings: Settings) -> int:
    """Returns the number of parameters of the ansatz that the settings describe."""
    n, ansatz = settings.system.n_particles, settings.ansatz
    features = ansatz.n_features
    equivariant = 3 * features + (ansatz.n_layers - 1) * (2 * features + 1) * features
    return equivariant + ansatz.n_determinants * n * (features + 2)


def estimated_bytes(settings: Settings) -> int:
    """Returns about how much memory training takes beside what TensorFlow itself takes.

    Counted are the largest arrays alone: the features of all particles with all their derivatives, cut at
    `chunk_mebibytes`; three copies of the parameters; and for a natural gradient three copies of the scores and three
    of the matrix that is solved, in float64. It tells what cannot work from what can, not what is tight.

    Args:
        settings: all settings.
    """
    n, sampling, training = settings.system.n_particles, settings.sampling, settings.training
    parameters, walkers = n_parameters(settings), sampling.n_walkers
    itemsize = 8 if settings.ansatz.dtype == "float64" else 4
    features = walkers * n * (n + 2) * settings.ansatz.n_features * itemsize
    total = min(features, training.chunk_mebibytes * 2**20) + 3 * parameters * itemsize
    if training.optimizer == "adam":
        return total
    side = min(walkers, parameters) if training.optimizer == "sr" else walkers
    return total + 3 * walkers * parameters * itemsize + 3 * side**2 * 8


def available_bytes() -> int:
    """Returns how much memory this process may still take: what the machine has free, within its control group."""
    for line in _MEMORY_INFO.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    try:
        limit = (_GROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_GROUP / "memory.current").read_text(encoding="ascii"))
    except OSError:  # no control group of version 2
        return free
    return free if limit == "max" else min(free, int(limit) - used)
