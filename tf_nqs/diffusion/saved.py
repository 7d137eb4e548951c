"""The progress of a diffusion as a file, and the check that what continues it is the same diffusion."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tf_nqs.config.errors import SettingsError, brief, shown
from tf_nqs.diffusion.energy import Progress
from tf_nqs.diffusion.time_step import PER_CALL, ROW_LENGTH, WalkState, n_carried
from tf_nqs.storage.files import replace_file


def write_progress(path: Path, progress: Progress, identity: Mapping[str, Any]) -> None:
    """Writes the progress of a diffusion; a file of this name is always whole.

    Args:
        path: the file, .npz.
        progress: all that the diffusion needs to go on.
        identity: what makes it this diffusion; values that JSON can hold.

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
        earlier = json.loads(str(arrays["identity"]))
        states = _states(arrays, len(earlier["time_steps"]))
        progress = Progress(states, float(arrays["seconds"]), float(arrays["edge"]))
    except (AttributeError, EOFError, LookupError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise SettingsError(f"{path}: cannot be read ({brief(error)}); must be deleted to begin again") from error
    same = json.loads(json.dumps(identity))
    for name in sorted(same.keys() | earlier.keys()):
        if earlier.get(name) != same.get(name):
            before = "is another one" if name in _DIGESTS else f"was {shown(earlier.get(name))}"
            raise SettingsError(
                f"{path}: holds a diffusion that was cut short, whose {name} {before}; "
                "the same command continues it, or delete the file to begin again"
            )
    _check_shapes(progress, path, identity)
    return progress


_DIGESTS = ("system", "weights")
"""Parts of an identity whose values would say nothing."""


def _states(arrays: Mapping[str, np.ndarray], n_walks: int) -> list[WalkState]:
    return [WalkState(*(arrays[f"{name}_{index}"] for name in WalkState._fields)) for index in range(n_walks)]


def _check_shapes(progress: Progress, path: Path, identity: Mapping[str, Any]) -> None:
    walkers = identity["n_walkers"], identity["system"]["n_particles"]
    wanted = {"positions": walkers, "log_abs_psi": walkers[:1], "gradient": walkers, "local_energy": walkers[:1]}
    for state, time_step in zip(progress.states, identity["time_steps"], strict=True):
        n_calls, is_known = len(state.rows) // PER_CALL, np.shape(state.carried)[1:] == walkers
        is_known &= all(np.shape(getattr(state, name)) == shape for name, shape in wanted.items())
        is_known &= np.shape(state.observed)[:2] == (n_calls, 2) and len(state.carried) == min(n_calls, n_carried(time_step))
        is_whole = state.rows.ndim == 2 and state.rows.shape[1] == ROW_LENGTH and len(state.rows) % PER_CALL == 0
        numbers = (state.positions, state.rows, state.carried)
        is_finite = all(np.all(np.isfinite(part)) for part in numbers)
        if not (is_known and is_whole and is_finite):
            raise SettingsError(f"{path}: holds numbers that no diffusion has; must be deleted to begin again")
