"""Compares the trainings of two checkouts: are their rows and weights equal, bit by bit?

Usage: python -m benchmarks.bit_identity --before=FOLDER [--after=.] [--modes adam spring ...] [--output=FILE]

Each folder is a checkout of this repository, for example one made by `git worktree add FOLDER COMMIT`. The current
Python runs both, one after the other. Equal means: all rows of metrics.csv in all columns but `seconds`, all of
windows.csv, and every weight. The exit status is 0 if all are equal.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import machine, say, show_table, write_json
from benchmarks.resume import compare, rows, stages

COMMON = """
n_particles = 4
interaction_strength = 10.0
n_walkers = 512
iterations = 60
reference_max_seconds = 0.0
target_error = 1.0
evaluation_max_seconds = 600.0
"""
"""No time limit ends a measurement, because the next stage of a chain starts from its walkers."""

ADAM = 'optimizer = "adam"\nlearning_rate = 1e-3\n'

MODES = {
    "quickstart": "",
    "adam": ADAM,
    "minsr": 'optimizer = "minsr"\n',
    "mala": 'sampler = "mala"\n',
    "thesis": ADAM + 'resampling = "thesis"\n',
    "guarded": 'resampling = "guarded"\n',
    "float64": 'dtype = "float64"\nsampling_dtype = "float32"\n',
    "chunks": ADAM + "chunk_mebibytes = 4\n",
    "windows": ADAM + 'early_stopping = "thesis"\nwindow = 20\nrestore_best = true\n',
    "attractive": "interaction_strength = -20.0\n",
    "chain": "[[stage]]\nn_particles = 2\n[[stage]]\nn_particles = 4\nfreeze_equivariant = true\nrelease_at = 40\n"
    "[[stage]]\ninteraction_strength = 5.0\nfreeze_equivariant = false\nrelease_at = 0\n",
}
"""Mode -> settings in addition to the common ones."""


def train(checkout: Path, config: Path, folder: Path) -> None:
    """Trains by the code of a checkout.

    Raises:
        RuntimeError: the run ends with another status than 0.
    """
    command = [sys.executable, str(checkout / "train.py"), f"--config={config}", f"--run_dir={folder}", "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    finished = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"{checkout}, {config.stem}: status {finished.returncode}:\n{finished.stderr[-2000:]}")


def first_difference(before: Path, after: Path) -> str:
    """Returns the first cell of metrics.csv that differs; nothing where there is none."""
    for one, other in zip(stages(before), stages(after), strict=False):
        for row, changed in zip(rows(one / "metrics.csv"), rows(other / "metrics.csv"), strict=False):
            for name in row:
                if row[name] != changed.get(name):
                    return f"iteration {row['iteration']}: {name} {row[name]} -> {changed.get(name)}"
    return ""


def settings(mode: str) -> str:
    """Returns the configuration of a mode; what it sets replaces what is common."""
    added = {line.partition("=")[0] for line in MODES[mode].splitlines()}
    common = [line for line in COMMON.splitlines() if line.partition("=")[0] not in added or "[[" in MODES[mode]]
    return "\n".join([*common, MODES[mode]])


def try_mode(mode: str, before: Path, after: Path, folder: Path) -> dict[str, object]:
    """Returns what is equal in the trainings of a mode, and the first difference."""
    config = folder / f"{mode}.toml"
    config.write_text(settings(mode), encoding="utf-8")
    ends = {name: folder / f"{mode}_{name}" for name in ("before", "after")}
    for (_, target), checkout in zip(ends.items(), (before, after), strict=True):
        train(checkout, config, target)
    equal = compare(ends["after"], ends["before"])
    say(f"{mode}: {equal}")
    return {"mode": mode, **equal, "first_difference": first_difference(ends["before"], ends["after"])}


def main() -> int:
    """Trains by both checkouts, compares, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", required=True, type=Path, help="checkout to compare with")
    parser.add_argument("--after", default=Path.cwd(), type=Path, help="the other checkout; this folder by default")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--output", help="JSON file for the results")
    flags = parser.parse_args()
    before, after = flags.before.resolve(), flags.after.resolve()
    with tempfile.TemporaryDirectory() as folder:
        found = [try_mode(mode, before, after, Path(folder)) for mode in flags.modes]
    names = ("rows", "windows", "weights")
    table = [
        [one["mode"], *("equal" if one[name] else "DIFFERENT" for name in names), one["first_difference"]]
        for one in found
    ]
    show_table(f"{before} and {after}", ["mode", *names, "first difference"], table)
    write_json(flags.output, {"machine": machine(), "before": str(before), "after": str(after), "modes": found})
    return 0 if all(one[name] for one in found for name in names) else 1


if __name__ == "__main__":
    sys.exit(main())
