"""How much memory a run needs, estimated from its settings alone, and the refusal of a run that cannot fit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tf_nqs.ansatz_counts import counts_of, parameters_of_conditions
from tf_nqs.config import Settings, SettingsError
from tf_nqs.config.family import SCALES
from tf_nqs.experiment.share import Share, share_of
from tf_nqs.family_values import FEATURES_OF

_TENSORFLOW = 1000 * 2**20
"""Bytes of the process itself, with TensorFlow loaded and an iteration compiled for a few walkers."""

_LAYER = 2**20
"""Bytes of a traced and compiled hidden layer, without its weights."""

_COLUMNS = 20
"""Numbers recorded per iteration, see `tf_nqs.training.record`."""

_BLOCKS, _QUANTITIES = 64, 4
"""Blocks and quantities that a measurement keeps per walker, see `tf_nqs.analysis.chain_sums`."""

_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


class Sizes(NamedTuple):
    """The settings that decide how much memory a run needs, by their own names, and what share of it a process has."""

    ansatz: str
    n_particles: int
    n_features: int
    n_layers: int
    n_determinants: int
    n_pair_features: int
    n_pair_layers: int
    n_walkers: int
    n_steps: int
    iterations: int
    iterations_per_call: int
    pretrain_iterations: int
    window: int
    checkpoint_iterations: int
    chunk_mebibytes: int
    optimizer: str
    dtype: str
    sampling_dtype: str
    n_conditions: int = 0
    n_condition_features: int = 0
    share: Share = Share()


class Need(NamedTuple):
    """One use of memory.

    Attributes:
        n_bytes: its size.
        leaves: the settings that make it large; a lower value of any of them helps.
        stays: whether it lasts for the whole run; uses that do not last take turns.
    """

    n_bytes: float
    leaves: tuple[str, ...]
    stays: bool = False


def sizes_of(settings: Settings, share: Share | None = None) -> Sizes:
    """Returns the settings that decide how much memory a run needs; 0 for sizes that its ansatz does not have.

    Args:
        settings: all settings.
        share: of this process; None for that which the settings say.
    """
    given = settings.resolved() | settings.system.resolved()
    leaves: dict[str, Any] = {leaf: value or 0 for leaf, value in given.items()}
    leaves["n_walkers"] *= max(1, len(settings.family.n_particles))  # as many for each number of particles
    leaves["n_conditions"] = settings.family.n_conditions if settings.is_family else 0
    leaves["n_condition_features"] = _n_condition_features(settings)
    leaves["share"] = share_of(settings) if share is None else share
    return Sizes(**{leaf: leaves[leaf] for leaf in Sizes._fields})


def n_parameters(sizes: Sizes) -> int:
    """Returns the number of parameters of the ansatz; about that of a class of the user's own, from its given sizes."""
    counts, given = counts_of(sizes.ansatz), sizes._asdict()
    return counts.parameters(given) + parameters_of_conditions(sizes.n_condition_features, counts.shifts(given))


def needs_of_model(sizes: Sizes) -> list[Need]:
    """Returns the uses of memory of every ansatz: TensorFlow, and five copies of the weights.

    The copies are made by an optimiser: gradient, two moments and a step, or the state of a natural gradient.
    """
    weights = 5 * sizes.share.n_own * n_parameters(sizes) * _itemsize(sizes.dtype)
    deep = _TENSORFLOW + counts_of(sizes.ansatz).depth(sizes._asdict()) * _LAYER
    return [Need(weights, (*_of_network(sizes), "n_layers"), True), Need(deep, ("n_layers",), True)]


def needs_of_measurement(sizes: Sizes) -> list[Need]:
    """Returns the uses of memory when a finished run is measured.

    Sampling needs the random numbers of all its steps and the features of all walkers; the local energy needs the
    features with all their derivatives, limited by `chunk_mebibytes`; the statistics keep 64 blocks per walker. A
    process samples its own walkers alone.
    """
    walkers, n = sizes.n_walkers, sizes.n_particles
    sampled = _itemsize(sizes.dtype if sizes.sampling_dtype == "ansatz" else sizes.sampling_dtype)
    own_walkers = walkers * sizes.share.n_own / sizes.share.n_replicas
    noise = 2 * sizes.n_steps * own_walkers * n * sampled
    return [
        *needs_of_model(sizes),
        Need(
            noise + 3 * own_walkers * _features(sizes) * sampled,
            ("n_walkers", "n_steps", *_of_network(sizes)),
        ),
        _chunk(sizes, walkers * _jets(sizes) * _itemsize(sizes.dtype)),
        Need(_BLOCKS * (2 * _QUANTITIES + 3) * walkers * 8, ("n_walkers",)),
    ]


def needs_of_training(sizes: Sizes) -> list[Need]:
    """Returns the uses of memory when a run is trained and measured.

    These are the uses of its measurement, and: in pretraining, the features of all layers for all walkers at once; for
    a natural gradient, three copies of the log-derivatives (n_walkers x n_parameters), then the centred ones and three
    copies of the matrix that is solved, in float64; the records of one call, and the list of all calls.

    The estimate was compared with the largest resident memory of runs of `train.py` in separate processes.
    """
    walkers, parameters, itemsize = sizes.n_walkers, n_parameters(sizes), _itemsize(sizes.dtype)
    per_call = min(sizes.iterations_per_call, sizes.iterations)
    periods = [period for period in (sizes.window, sizes.checkpoint_iterations) if period]
    n_ends = sum(sizes.iterations / period for period in periods)
    calls = 24 * (sizes.iterations / per_call + n_ends) + 130 * n_ends
    needs = [
        *needs_of_measurement(sizes),
        Need(3 * per_call * _COLUMNS * 8, ("iterations_per_call", "iterations"), True),
        Need(calls, ("iterations",), True),
    ]
    if sizes.pretrain_iterations and counts_of(sizes.ansatz).has_orbitals:
        fitted = 4 * walkers * sizes.n_layers * _features(sizes) * itemsize
        needs.append(
            Need(fitted, ("n_walkers", "n_features", "n_layers", "n_determinants", "pretrain_iterations")),
        )
    if sizes.optimizer == "adam":
        return needs
    first, *others = _of_network(sizes)
    scores, leaves = walkers * parameters * itemsize, ("n_walkers", first, "n_layers", *others)
    in_parameters = sizes.optimizer in ("sr", "spring") and parameters < walkers
    side = parameters if in_parameters else walkers
    exact = walkers * parameters * 8 if in_parameters else 0
    return [
        *needs,
        Need(3 * scores, leaves),
        Need(scores + _chunk(sizes, 2 * scores).n_bytes, (*leaves, "chunk_mebibytes")),
        Need(scores + exact + 3 * 8 * side**2, leaves),
    ]


def total_bytes(needs: list[Need]) -> float:
    """Returns the largest memory needed at any time: all uses that stay, and the largest of those that take turns."""
    return sum(need.n_bytes for need in needs if need.stays) + max(
        (need.n_bytes for need in needs if not need.stays), default=0
    )


def own_bytes(sizes: Sizes) -> tuple[float, float]:
    """Returns the memory that a training needs in this process, and the part of it for each of its devices."""
    needed = total_bytes(needs_of_training(sizes))
    return needed, (needed - _TENSORFLOW) / sizes.share.n_own


def check_training(settings: Settings) -> None:
    """Refuses a training that does not fit into the memory of this machine; allocates nothing.

    Raises:
        SettingsError: it needs more memory, see `check_memory`.
    """
    check_memory(sizes_of(settings), needs_of_training)


def check_measurement(settings: Settings) -> None:
    """Refuses a run whose measurement does not fit into the memory of this machine, like `check_training`."""
    check_memory(sizes_of(settings), needs_of_measurement)


def check_model(settings: Settings) -> None:
    """Refuses an ansatz that does not fit into the memory of this machine, like `check_training`."""
    check_memory(sizes_of(settings, Share()), needs_of_model)


def check_memory(sizes: Sizes, needs_of: Any) -> None:
    """Refuses a run that does not fit into the memory of this machine.

    Args:
        sizes: of the run.
        needs_of: sizes -> uses of memory.

    Raises:
        SettingsError: it needs more memory than is available; one line with both, and with the setting of the largest
            use that is furthest above its default, and the largest value of it that would fit.
    """
    needed, available = total_bytes(needs_of(sizes)), available_bytes() // sizes.share.n_neighbours
    if needed <= available:
        return
    leaves = max(needs_of(sizes), key=lambda need: need.n_bytes).leaves
    defaults = sizes_of(Settings.model_validate({"system": {"n_particles": 4}, "ansatz": {"ansatz": sizes.ansatz}}))
    leaf = max(leaves, key=lambda leaf: getattr(sizes, leaf) / max(getattr(defaults, leaf), 1))

    def fits(**values: Any) -> bool:
        return total_bytes(needs_of(sizes._replace(**values))) <= available

    low, high = 0, getattr(sizes, leaf)
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(**{leaf: middle}) else (low, middle)
    name, unit = _as_given(sizes, leaf)
    low, others = low // unit, [f"{_as_given(sizes, other)[0]} lower" for other in leaves if other != leaf]
    others += ["walkers_per_condition lower"] if name == "n_conditions" else []
    if sizes.optimizer != "adam" and fits(optimizer="adam"):
        others.append("optimizer = adam")
    allowed = f"at most about {low:,}".replace(",", " ") if low else "lower"
    raise SettingsError(
        f"{name} = {getattr(sizes, leaf) // unit}: needs about {in_words(needed)} of memory, "
        f"only {in_words(available)} available; must be {', or '.join([allowed, *others])}"
    )


def _as_given(sizes: Sizes, leaf: str) -> tuple[str, int]:
    """Returns the setting that decides a size, and how much of the size each of its units brings."""
    if leaf == "n_walkers" and sizes.n_conditions:
        return "n_conditions", sizes.n_walkers // sizes.n_conditions
    return leaf, 1


def available_bytes() -> int:
    """Returns the largest memory that this process may use: that of the machine, or the limit of its control groups."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_group_limits()])


def _group_limits() -> Iterator[int]:
    """Yields the limits of the control groups of this process, of version 1 or 2, and of their parents."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # no control groups
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = (_GROUPS / "memory", "memory.limit_in_bytes") if controllers else (_GROUPS, "memory.max")
        group = root / path.lstrip("/")
        for place in (group, *group.parents):
            if place.is_relative_to(root) and (place / name).is_file():
                text = (place / name).read_text(encoding="ascii").strip()
                if text.isdecimal():  # "max" for none
                    yield int(text)


def _itemsize(dtype: str) -> int:
    return 8 if dtype == "float64" else 4


def _n_condition_features(settings: Settings) -> int:
    """Returns how many numbers tell a family's network of a system: what varies, or is scaled as if it did."""
    family = settings.family
    told = {*family.varied()} | {leaf for leaf, scale in SCALES.items() if family.scale(scale)}
    return sum(FEATURES_OF[leaf] for leaf in told) if settings.is_family else 0


def _features(sizes: Sizes) -> int:
    """Returns the numbers per walker in the largest layer."""
    return counts_of(sizes.ansatz).features(sizes._asdict())


def _jets(sizes: Sizes) -> int:
    """Returns the numbers per walker in the largest layer with its derivatives by all positions."""
    return counts_of(sizes.ansatz).jets(sizes._asdict())


def _of_network(sizes: Sizes) -> tuple[str, str]:
    """Returns the settings that decide how many features there are."""
    return counts_of(sizes.ansatz).leaves


def _chunk(sizes: Sizes, n_bytes: float) -> Need:
    """Returns the use of a phase that works in chunks of at least one walker."""
    bound = max(sizes.chunk_mebibytes * 2**20, n_bytes / sizes.n_walkers)
    of_device = min(n_bytes / sizes.share.n_replicas, bound)
    return Need(of_device * sizes.share.n_own, (*_of_network(sizes), "chunk_mebibytes"))


def in_words(n_bytes: float) -> str:
    """Returns 2 ** 30 as '1 GiB'."""
    value, units = n_bytes / 2**20, ["MiB", "GiB", "TiB", "PiB", "EiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.0f} {units[0]}" if value >= 1000 else f"{value:.3g} {units[0]}"
