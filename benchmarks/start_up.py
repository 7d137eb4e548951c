"""Seconds from `python train.py` to the end of the first iteration, and its parts.

The first start compiles, the second finds what the first has compiled in a cache of their own.

Usage: python -m benchmarks.start_up [--against=FOLDER] [--output=FILE]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.protocol import PeerError, run_once
from benchmarks.report import machine, say, show_table, write_json

_REPOSITORY = Path(__file__).resolve().parents[1]
_SECONDS_BETWEEN_LOOKS = 0.02


def time_to_first_iteration(config: str, timeout: float, cache: str, repository: Path) -> dict[str, float]:
    """Returns wall and processor seconds of a fresh `train.py` until metrics.csv has its first row; then ends it.

    With one iteration per call, so that the row is written at the end of the iteration.

    Args:
        config: TOML file or preset.
        timeout: maximum time in seconds.
        cache: folder for what is compiled.
        repository: folder with the `train.py` to run.

    Raises:
        PeerError: the training ended, or its first iteration took too long.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        metrics = Path(folder) / "run" / "metrics.csv"
        flags = [f"--config={config}", "--iterations_per_call=1", "--quiet", f"--run_dir={metrics.parent}"]
        environment = os.environ | {"XDG_CACHE_HOME": cache}
        started = time.perf_counter()
        command = [sys.executable, "train.py", *flags]
        process = subprocess.Popen(command, cwd=repository, stderr=errors, env=environment)
        try:
            while not (metrics.is_file() and metrics.read_bytes().count(b"\n") > 1):
                if process.poll() is not None:
                    errors.seek(0)
                    raise PeerError(f"train.py ended with status {process.returncode}: {errors.read().strip()}")
                if time.perf_counter() - started > timeout:
                    process.kill()
                    raise PeerError(f"took longer than {timeout:g} s")
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            wall = time.perf_counter() - started
            return {"wall": wall, "processor": _processor_seconds(process.pid)}
        finally:
            process.terminate()  # it then keeps what it has compiled
            process.wait()


def starts(name: str, config: str, timeout: float, repository: Path) -> dict[str, dict[str, float]]:
    """Returns wall and processor seconds of a first and a second start.

    Args:
        name: of what is started, for the table.
        config: TOML file or preset.
        timeout: maximum time of a start, in seconds.
        repository: folder with the `train.py` to run.
    """
    with tempfile.TemporaryDirectory() as cache:
        return {
            f"{name}, {number} start": time_to_first_iteration(config, timeout, cache, repository)
            for number in ("first", "second")
        }


def _processor_seconds(pid: int) -> float:
    """Returns user and system seconds of a running process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def medians(runs: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Returns part -> {"wall", "processor"}, each the median over runs."""
    return {part: {kind: median(run[part][kind] for run in runs) for kind in runs[0][part]} for part in runs[0]}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/quickstart.toml")
    parser.add_argument("--n_repeats", type=int, default=5, help="fresh processes, and processes for the parts")
    parser.add_argument("--timeout", type=float, default=600.0, help="maximum time of a process, in seconds")
    parser.add_argument("--against", type=Path, help="folder with another version, started in turn with this one")
    parser.add_argument("--output", help="JSON file")
    return parser.parse_args(arguments)


def main() -> None:
    """Measures whole start-ups and their parts in turn, reports medians."""
    flags, before = parse(), machine()
    versions = {"this version": _REPOSITORY} | ({"the other": flags.against.resolve()} if flags.against else {})
    runs = []
    for number in range(flags.n_repeats):
        totals: dict[str, dict[str, float]] = {}
        for name, repository in versions.items():
            totals |= starts(name, flags.config, flags.timeout, repository)
        runs.append(totals | run_once("benchmarks.start_up_parts", timeout=flags.timeout, config=flags.config))
        say(f"{number + 1} of {flags.n_repeats}: " + ", ".join(f"{total['wall']:.1f} s" for total in totals.values()))
    middle = medians(runs)
    rows = [[part, f"{seconds['wall']:.2f}", f"{seconds['processor']:.2f}"] for part, seconds in middle.items()]
    show_table(f"seconds, medians of {flags.n_repeats} fresh processes", ["", "wall", "user + system"], rows)
    values = vars(flags) | {"against": flags.against and str(flags.against)}
    write_json(flags.output, {"machine": before, "settings": values, "medians": middle, "runs": runs})


if __name__ == "__main__":
    main()
