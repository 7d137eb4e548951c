"""The progress of a diffusion as a file, and the check that what continues it is the same diffusion."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tf_nqs.config.errors import SettingsError, brief, shown
from tf_nqs.diffusion.energy import Progress
from tf_nqs.diffusion.time_step import PER_CALL, ROW_LENGTH, WalkState, n_carried
from tf_nqs.storage.files import UNREADABLE_ARRAYS, replace_file

FORMAT = 2
"""Of a state. Another meaning of its numbers, such as another number of generations in a call, needs another format."""


def write_progress(path: Path, progress: Progress, identity: Mapping[str, Any]) -> None:
    """Writes the progress of a diffusion; a file of this name is always whole.

    Args:
        path: the file, .npz.
        progress: all that the diffusion needs to go on.
        identity: what makes it this diffusion; values that JSON can hold. Among them are version, time_steps,
            n_walkers, n_observed, dtype and system.

    Raises:
        OSError: it cannot be written.
    """
    arrays: dict[str, Any] = {"identity": json.dumps(identity), "seconds": progress.seconds, "edge": progress.edge}
    for index, state in enumerate(progress.states):
        arrays |= {f"{name}_{index}": value for name, value in state._asdict().items()}

    def write(unfinished: Path) -> None:
        with unfinished.open("wb") as file:
            np.savez(file, **arrays)

    replace_file(path, write)


def read_progress(path: Path, identity: Mapping[str, Any]) -> Progress | None:
    """Returns the progress of a diffusion; None if there is no file.

    Args:
        path: the file.
        identity: of the diffusion that would go on, as it was written.

    Raises:
        SettingsError: the file cannot be read, or is that of another diffusion; one line.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        earlier = dict(json.loads(str(arrays["identity"])))
    except UNREADABLE_ARRAYS as error:
        raise _damaged(path, f"cannot be read ({brief(error)})") from error
    _check_same(path, earlier, json.loads(json.dumps(identity)))
    try:
        states = _states(arrays, len(earlier["time_steps"]))
        progress = Progress(states, float(arrays["seconds"]), float(arrays["edge"]))
        is_whole = _has_right_shapes(progress, identity)
    except UNREADABLE_ARRAYS as error:
        raise _damaged(path, f"cannot be read ({brief(error)})") from error
    if not is_whole:
        raise _damaged(path, "holds numbers that no diffusion has")
    return progress


def _damaged(path: Path, problem: str) -> SettingsError:
    return SettingsError(f"{path}: {problem}; must be deleted to begin again")


def _check_same(path: Path, earlier: Mapping[str, Any], same: Mapping[str, Any]) -> None:
    """Refuses the state of another version, and that of another diffusion."""
    if earlier.get("version") != same.get("version"):
        raise _damaged(path, "holds a diffusion of another version of tf_nqs")
    for name in sorted(same.keys() | earlier.keys()):
        if earlier.get(name) != same.get(name):
            before = "is another one" if name in _DIGESTS else f"was {shown(earlier.get(name))}"
            raise SettingsError(
                f"{path}: holds a diffusion that was cut short, whose {name} {before}; "
                "the same command continues it, or delete the file to begin again"
            )


_DIGESTS = ("system", "weights")
"""Parts of an identity whose values would say nothing."""


def _states(arrays: Mapping[str, np.ndarray], n_walks: int) -> list[WalkState]:
    return [WalkState(*(arrays[f"{name}_{index}"] for name in WalkState._fields)) for index in range(n_walks)]


def _has_right_shapes(progress: Progress, identity: Mapping[str, Any]) -> bool:
    """Returns whether all arrays have the shapes, the precision and the finite numbers of this diffusion."""
    walkers = identity["n_walkers"], identity["system"]["n_particles"]
    found = 0 <= progress.seconds < math.inf and 0 < progress.edge < math.inf
    for state, time_step in zip(progress.states, identity["time_steps"], strict=True):
        n_calls = len(state.rows) // PER_CALL
        shapes = {
            "positions": walkers,
            "log_abs_psi": walkers[:1],
            "gradient": walkers,
            "local_energy": walkers[:1],
            "carried": (min(n_calls, n_carried(time_step)), *walkers),
            "rows": (n_calls * PER_CALL, ROW_LENGTH),
        }
        found &= all(np.shape(getattr(state, name)) == shape for name, shape in shapes.items())
        # A walk that has not begun does not know how much is observed.
        found &= np.shape(state.observed) == (n_calls, 2, identity["n_observed"] if n_calls else 0)
        precise = (state.positions, state.log_abs_psi, state.gradient, state.local_energy, state.carried)
        found &= all(part.dtype.name == identity["dtype"] for part in precise)
        found &= all(bool(np.all(np.isfinite(part))) for part in (state.positions, state.rows, state.carried))
    return found
