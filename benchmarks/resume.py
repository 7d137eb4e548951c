"""Compares runs that are killed at random moments and resumed with runs without a break: are they equal?

Usage: python -m benchmarks.resume [--modes adam spring reweighting chain] [--kills 20] [--seed 0] [--output=FILE]

Every kill is a separate run: `kill -9`, then `--resume` to the end. Half of the kills are uniformly distributed over
the time of the unbroken run, imports and compilation included. The others come up to half a second after a random
iteration, and so during training, measurement or the writing of files. Equal means: all
rows of metrics.csv in all columns but `seconds`, all of windows.csv, and every weight, bit by bit. The exit status is 0
if all are equal.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.report import machine, say, show_table, write_json
from tf_nqs.storage.run_folder import CHAIN_MARK, RunFolder

TRAIN = Path(__file__).resolve().parents[1] / "train.py"

COMMON = """
n_particles = 2
interaction_strength = 10.0
n_features = 32
n_walkers = 256
iterations = 300
checkpoint_iterations = 25
early_stopping = "thesis"
window = 40
restore_best = true
reference_max_seconds = 0.0
target_error = 0.05
"""

MODES = {
    "adam": 'optimizer = "adam"\nlearning_rate = 1e-3\n',
    "spring": 'optimizer = "spring"\n',
    "reweighting": 'optimizer = "adam"\nlearning_rate = 1e-3\nresampling = "guarded"\n',
    "chain": 'optimizer = "spring"\n[[stage]]\niterations = 120\n'
    "[[stage]]\nn_particles = 3\niterations = 200\nfreeze_equivariant = true\nrelease_at = 70\n",
}
"""Mode -> additional settings; each trains for about twenty seconds on two idle cores, a chain for forty."""


def start(config: Path, folder: Path, log: Path) -> subprocess.Popen:
    """Starts a run, or resumes it if its folder is there, with a group of processes of its own."""
    exists = (folder / CHAIN_MARK).exists() or RunFolder(folder).mark.exists()
    flags = [] if RunFolder(folder).config.exists() else [f"--config={config}"]
    command = [sys.executable, str(TRAIN), *flags, *["--resume"] * exists, f"--run_dir={folder}"]
    with open(log, "ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)


def finish(config: Path, folder: Path, log: Path) -> None:
    """Starts a run and waits for its end."""
    status = start(config, folder, log).wait()
    if status != 0:
        raise RuntimeError(f"{folder}: ended with status {status}:\n{log.read_text(encoding='utf-8')[-2000:]}")


def kill(config: Path, folder: Path, log: Path, seconds: float, iterations: int = 0) -> bool:
    """Starts a run and kills it some seconds after its start, or after an iteration, counted over all stages.

    Returns:
        Whether it was still running.
    """
    process = start(config, folder, log)
    try:
        while sum(iterations_done(folder)) < iterations and process.poll() is None:
            time.sleep(0.01)
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def iterations_done(folder: Path) -> list[int]:
    """Returns the number of complete rows of metrics.csv of every stage."""
    files = [stage / "metrics.csv" for stage in stages(folder)]
    return [max(file.read_bytes().count(b"\n") - 1, 0) if file.is_file() else 0 for file in files]


def stages(folder: Path) -> list[Path]:
    """Returns the folders of a chain's stages, or the folder of a single run."""
    return sorted(folder.glob("stage_?")) or [folder]


def rows(file: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV file without the column `seconds`; none without the file."""
    if not file.is_file():
        return []
    with open(file, newline="", encoding="utf-8") as lines:
        return [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(lines)]


def weights(folder: Path) -> dict[str, np.ndarray]:
    """Returns name -> weight of a finished run."""
    found = {}
    with h5py.File(folder / "ansatz.weights.h5") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def compare(folder: Path, reference: Path) -> dict[str, bool]:
    """Returns which files are equal in two runs, or in all stages of two chains."""
    equal = {"rows": True, "windows": True, "weights": len(stages(folder)) == len(stages(reference))}
    for one, other in zip(stages(folder), stages(reference), strict=False):
        equal["rows"] &= rows(one / "metrics.csv") == rows(other / "metrics.csv") != []
        equal["windows"] &= rows(one / "windows.csv") == rows(other / "windows.csv")
        ours, theirs = weights(one), weights(other)
        equal["weights"] &= ours.keys() == theirs.keys()
        equal["weights"] &= all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
    return equal


def try_once(config: Path, folder: Path, reference: Path, draw: Callable[[], tuple[float, int]]) -> dict[str, Any]:
    """Kills a run once, at the given seconds or iteration, resumes it, compares it."""
    log, attempt = folder.with_suffix(".log"), 0
    while True:
        target, started = folder.with_name(f"{folder.name}_{attempt}"), time.monotonic()
        if kill(config, target, log, *draw()):
            break
        attempt += 1  # the run was faster than the unbroken one and ended before the kill
    seconds, reached = time.monotonic() - started, iterations_done(target)
    written = log.stat().st_size
    finish(config, target, log)
    printed = log.read_bytes()[written:].decode(errors="replace").splitlines()
    resumed = [line.split()[2] for line in printed if line.startswith("resumed after ")]
    return {
        "killed_after_seconds": seconds,
        "iterations_reached": reached,
        "resumed_after": resumed[0] if resumed else "start",
        **compare(target, reference),
    }


def try_mode(mode: str, n_kills: int, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Returns the result of each kill of a mode."""
    config = folder / f"{mode}.toml"
    config.write_text(COMMON + MODES[mode], encoding="utf-8")
    started = time.monotonic()
    finish(config, folder / f"{mode}_unbroken", folder / f"{mode}_unbroken.log")
    seconds, iterations = time.monotonic() - started, sum(iterations_done(folder / f"{mode}_unbroken"))
    say(f"{mode}: {seconds:.0f} s without a break")
    moments, found = random.Random(f"{mode} {seed}"), []
    draws = (
        lambda: (moments.uniform(0, 0.5), moments.randint(1, iterations)),
        lambda: (moments.uniform(0, seconds), 0),
    )
    for number in range(1, n_kills + 1):
        name = folder / f"{mode}_{number}"
        one = try_once(config, name, folder / f"{mode}_unbroken", draws[(number + 1) % 2])
        found.append({"mode": mode, "kill": number, **one})
        say(f"{mode} {number}: {one}")
    return found


def main() -> int:
    """Kills, resumes, compares, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--kills", type=int, default=20, help="runs killed per mode")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--output", help="JSON file for the results")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [one for mode in flags.modes for one in try_mode(mode, flags.kills, flags.seed, Path(folder))]
    names = ("rows", "windows", "weights")
    table = [
        [
            f"{one['mode']} {one['kill']}",
            f"{one['killed_after_seconds']:.1f}",
            " + ".join(map(str, one["iterations_reached"])),
            one["resumed_after"],
            *("equal" if one[name] else "DIFFERENT" for name in names),
        ]
        for one in found
    ]
    show_table("Killed and resumed", ["run", "killed after, s", "iterations", "resumed after", *names], table)
    for mode in flags.modes:
        of_mode = [all(one[name] for name in names) for one in found if one["mode"] == mode]
        say(f"{mode}: {sum(of_mode)} of {len(of_mode)} equal to the run without a break")
    write_json(flags.output, {"machine": machine(), "flags": vars(flags), "kills": found})
    return 0 if all(one[name] for one in found for name in names) else 1


if __name__ == "__main__":
    sys.exit(main())
