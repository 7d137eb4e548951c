"""A long chain, SPRING and Adam in turns on re-weighted samples: do memory and speed stay constant?

Usage: python -m benchmarks.soak --folder=FOLDER [--minutes=60] [--turns=6]

`train.py` runs a chain whose stages are the turns: six fermions, each turn starts from walkers and weights of the
previous one. Each stage has a process of its own. The resident memory of all processes together is read from outside,
the seconds per iteration from `metrics.csv`.
Writes `soak.json` and `soak.png` into FOLDER. Ends with status 1 if a criterion below is not met.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import machine, say, show_table, write_json
from tf_nqs.analysis.canvas import new_figure, save_figure

ROOT = Path(__file__).parents[1]
OPTIMIZERS = ("spring", "adam")

LARGEST_GROWTH = 0.05
"""Maximum growth of the memory in a turn, from its first third to its last third, when everything is compiled."""

LARGEST_STEP = 20.0
"""MiB per turn, from an optimiser's first turn to its last one. XLA keeps what it compiled until its process ends, but
the process of a stage ends with it (see `tf_nqs.experiment.isolated`): nothing but readings scatter."""

LARGEST_DRIFT = 0.10
"""Maximum growth of the median seconds per iteration, in a turn from its first third to its last third, and from the
first to the last turn of an optimiser."""

SECONDS_BETWEEN_READINGS = 2.0

CHAIN = """\
[system]
n_particles = 6
interaction_strength = 10.0

[sampling]
n_walkers = 512

[reweighting]
resampling = "guarded"

[training]
iterations = 10_000_000
max_seconds = {seconds}

[evaluation]
target_error = 0.01
evaluation_max_seconds = 10
reference_max_seconds = 0
"""


def train(folder: Path, seconds: float, turns: int) -> np.ndarray:
    """Trains all turns.

    Returns:
        Readings (time since the epoch, resident memory in MiB of all processes), shape (n, 2).
    """
    config = folder / "soak.toml"
    stages = [f'\n[[stage]]\noptimizer = "{OPTIMIZERS[turn % 2]}"\n' for turn in range(turns)]
    config.write_text(CHAIN.format(seconds=seconds) + "".join(stages), encoding="utf-8")
    command = [sys.executable, "train.py", f"--config={config}", f"--run_dir={folder / 'chain'}", "--quiet"]
    readings = []
    with subprocess.Popen(command, cwd=ROOT) as process:
        while process.poll() is None:
            readings.append((time.time(), resident_mebibytes(process.pid)))
            time.sleep(SECONDS_BETWEEN_READINGS)
    if process.returncode:
        raise SystemExit(f"train.py ended with status {process.returncode}")
    return np.array(readings)


def resident_mebibytes(pid: int) -> float:
    """Returns the resident memory of a process and of those that it has started, in MiB; nan if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20 + float(np.nansum([resident_mebibytes(int(c)) for c in children]))


def seconds_of(stage: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the end of each iteration of a stage, in seconds since the epoch, and its duration in seconds."""
    file = stage / "metrics.csv"
    with file.open(newline="") as rows:
        seconds = np.array([float(row["seconds"]) for row in csv.DictReader(rows)])
    return file.stat().st_mtime - seconds.sum() + np.cumsum(seconds), seconds


def judge(readings: np.ndarray, stages: list[tuple[np.ndarray, np.ndarray]]) -> list[dict[str, Any]]:
    """Returns a record per turn: memory and seconds per iteration, in its first and in its last third."""
    records = []
    for turn, (ends, seconds) in enumerate(stages):
        record: dict[str, Any] = {"turn": turn + 1, "optimizer": OPTIMIZERS[turn % 2], "n_iterations": len(seconds)}
        thirds = np.linspace(ends[0] - seconds[0], ends[-1], 4)
        for name, start, end in (("first", *thirds[:2]), ("last", *thirds[2:])):
            now = (readings[:, 0] >= start) & (readings[:, 0] <= end)
            record[f"mebibytes_{name}"] = float(np.median(readings[now, 1]))
            record[f"seconds_{name}"] = float(np.median(seconds[(ends >= start) & (ends <= end)]))
        records.append(record)
    return records


def growth_of(records: list[dict[str, Any]], optimizer: str) -> float | None:
    """Returns the growth of memory in MiB per turn, from the first to the last turn of an optimiser; None for one turn.

    Args:
        records: records of all turns, in order.
        optimizer: name of the optimiser.
    """
    of_one = [one for one in records if one["optimizer"] == optimizer]
    if len(of_one) < 2:
        return None
    first, last = of_one[0], of_one[-1]
    return (last["mebibytes_last"] - first["mebibytes_last"]) / (last["turn"] - first["turn"])


def failures(records: list[dict[str, Any]]) -> list[str]:
    """Returns a line for each criterion that is not met; NaN meets no criterion."""
    found = []
    for one in records:
        growth = one["mebibytes_last"] / one["mebibytes_first"] - 1
        drift = one["seconds_last"] / one["seconds_first"] - 1
        if not growth <= LARGEST_GROWTH:
            found.append(f"turn {one['turn']}: memory has grown by {100 * growth:.1f} %")
        if not drift <= LARGEST_DRIFT:
            found.append(f"turn {one['turn']}: iterations have become slower by {100 * drift:.1f} %")
    for name in OPTIMIZERS:
        of_one = [one["seconds_last"] for one in records if one["optimizer"] == name]
        if len(of_one) > 1 and not (drift := of_one[-1] / of_one[0] - 1) <= LARGEST_DRIFT:
            found.append(f"{name}: its last turn is slower than its first by {100 * drift:.1f} %")
        step = growth_of(records, name)
        if step is not None and not step <= LARGEST_STEP:
            found.append(f"{name}: memory has grown by {step:.0f} MiB a turn from its first turn to its last")
    return found


def plot(path: Path, readings: np.ndarray, stages: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Draws memory and seconds per iteration (medians of a hundred iterations) against time."""
    figure = new_figure(8.0, 6.0)
    memory, speed = figure.subplots(2, sharex=True)
    memory.plot((readings[:, 0] - readings[0, 0]) / 60, readings[:, 1], color="C7")
    memory.set(ylabel="resident memory (MiB)", ylim=(0, None))
    for turn, (ends, seconds) in enumerate(stages):
        whole = len(seconds) // 100 * 100
        medians = np.median(seconds[:whole].reshape(-1, 100), axis=1)
        label = OPTIMIZERS[turn] if turn < len(OPTIMIZERS) else None
        speed.plot((ends[99:whole:100] - readings[0, 0]) / 60, 1e3 * medians, ".", color=f"C{turn % 2}", label=label)
    speed.set(xlabel="time (minutes)", ylabel="milliseconds per iteration", ylim=(0, None))
    speed.legend()
    save_figure(figure, path, dpi=150)


def main() -> int:
    """Trains, prints a table and the criteria that are not met; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, help="new folder for the results")
    parser.add_argument("--minutes", type=float, default=60.0, help="minutes of training in all turns together")
    parser.add_argument("--turns", type=int, default=6)
    flags = parser.parse_args()
    folder = Path(flags.folder).resolve()
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        parser.error(f"--folder must be a new one, is {folder}: {error.strerror}")
    readings = train(folder, 60 * flags.minutes / flags.turns, flags.turns)
    stages = [seconds_of(folder / "chain" / f"stage_{turn + 1}") for turn in range(flags.turns)]
    records = judge(readings, stages)
    header = ["turn", "optimizer", "iterations", "MiB, first third", "last third", "ms per iteration", "last third"]
    rows = [
        [str(one["turn"]), one["optimizer"], f"{one['n_iterations']:,}"]
        + [f"{one[f'mebibytes_{name}']:.0f}" for name in ("first", "last")]
        + [f"{1e3 * one[f'seconds_{name}']:.2f}" for name in ("first", "last")]
        for one in records
    ]
    show_table(f"{flags.minutes:g} minutes of a chain", header, rows)
    steps = {name: step for name in OPTIMIZERS if (step := growth_of(records, name)) is not None}
    for name, step in steps.items():
        say(f"{name}: {step:+.0f} MiB a turn from its first turn to its last, of at most {LARGEST_STEP:.0f}")
    plot(folder / "soak.png", readings, stages)
    results = {"machine": machine(), "turns": records, "mebibytes_per_turn": steps, "readings": readings.tolist()}
    write_json(str(folder / "soak.json"), results)
    problems = failures(records)
    say("\n".join(problems) or "all criteria are met")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
