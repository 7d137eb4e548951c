"""Ten faults of a run of two workers: do the others end, with one line, and does the run continue?

Usage: python -m benchmarks.faults [--folder=FOLDER] [--only=NUMBER ...] [--seed=0] [--output=FILE]

After a fault the other worker must end with status 3 and one line, within `worker_timeout` and the time that
TensorFlow needs to notice; no process may be left; and the run must continue to its end, on one worker or on two. The
exit status is 0 if all of this holds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import machine, say, show_table, write_json
from examples.several_workers import free_ports, place_of
from tf_nqs.storage.run_folder import RunFolder

_REPOSITORY = Path(__file__).resolve().parents[1]

SETTINGS = {
    "n_particles": 2,
    "interaction_strength": 10.0,
    "n_features": 8,
    "n_layers": 1,
    "n_walkers": 64,
    "n_steps": 2,
    "n_burn_in": 20,
    "iterations": 80,
    "iterations_per_call": 5,
    "checkpoint_iterations": 10,
    "pretrain_iterations": 0,
    "optimizer": "adam",
    "jit_compile": "false",
    "reference": "none",
    "target_error": 1e-3,
    "evaluation_max_seconds": 5.0,
}
"""Of a run that is short, but whose measurement takes five seconds."""


class Fault(NamedTuple):
    """A fault.

    Attributes:
        victim: number of the worker; 0 is the chief.
        what: SIGKILL, SIGSTOP, leave or sleep; the last two are in the worker's own code.
        when: start, build, train or measure.
    """

    victim: int
    what: str
    when: str


FAULTS = (
    Fault(1, "SIGKILL", "start"),
    Fault(1, "SIGKILL", "build"),
    Fault(0, "SIGKILL", "build"),
    Fault(1, "SIGKILL", "train"),
    Fault(0, "SIGKILL", "train"),
    Fault(1, "SIGSTOP", "train"),
    Fault(0, "SIGSTOP", "train"),
    Fault(1, "leave", "train"),
    Fault(1, "sleep", "train"),
    Fault(1, "SIGKILL", "measure"),
)


_ENDLESS = 124
"""Stands for the exit status of a process that had to be killed, as for `timeout` of the shell."""


class Ending(NamedTuple):
    """What a fault led to.

    Attributes:
        status: of the other worker; None if it had to be killed.
        seconds: from the fault to its end.
        lines: what it wrote to standard error.
        iterations: rows of metrics.csv after the fault.
        n_workers: how many continued the run.
        status_of_rest: exit status of the run that continued.
    """

    status: int | None
    seconds: float
    lines: list[str]
    iterations: int
    n_workers: int
    status_of_rest: int

    def problems(self) -> list[str]:
        """Returns what is not as it must be, in words."""
        found = []
        if self.status != 3:
            found.append("the other worker was still there" if self.status is None else f"status {self.status}")
        if len(self.lines) != 1 or not self.lines[0].startswith("error: "):
            found.append(f"{len(self.lines)} lines: {' | '.join(self.lines)[:200]}")
        if self.status_of_rest != 0:
            found.append(f"the run that continued ended with status {self.status_of_rest}")
        return found


def iterations_done(folder: Path) -> int:
    """Returns the number of whole rows of metrics.csv."""
    file = RunFolder(folder).metrics
    return max(file.read_bytes().count(b"\n") - 1, 0) if file.is_file() else 0


def flags_of(folder: Path, n_workers: int, timeout: float) -> list[str]:
    """Returns the flags of the run in a folder: those of a new one, or of one that continues if it has begun."""
    place = [f"--run_dir={folder}", f"--strategy={'none' if n_workers == 1 else 'multi_worker'}"]
    if n_workers > 1:
        place.append(f"--worker_timeout={timeout:g}")
    if RunFolder(folder).config.is_file():
        return [*place, "--resume"]
    return [*place, *(f"--{name}={value}" for name, value in SETTINGS.items())]


def wait_for(fault: Fault, folder: Path, output: Path, after: int, patience: float) -> None:
    """Returns when it is time for a fault, or after some seconds.

    Args:
        fault: which.
        folder: of the run.
        output: what the chief prints.
        after: iteration of a fault in training.
        patience: maximum number of seconds.
    """
    comes = {
        "start": lambda: True,
        "build": lambda: RunFolder(folder).config.is_file(),
        "train": lambda: iterations_done(folder) >= after,
        "measure": lambda: "measuring the energy" in output.read_text(encoding="utf-8"),
    }[fault.when]
    end = time.monotonic() + patience
    while not comes() and time.monotonic() < end:
        time.sleep(0.02)


def suffer(fault: Fault, folder: Path, timeout: float, draw: random.Random, patience: float = 600.0) -> Ending:
    """Starts two workers, lets one of them have a fault, and continues the run.

    Args:
        fault: which.
        folder: of the run; new.
        timeout: setting worker_timeout, in seconds.
        draw: of the moments.
        patience: maximum number of seconds of each wait.
    """
    after = draw.randrange(10, 50)
    logs = [folder.with_name(f"{folder.name}_worker_{worker}.log") for worker in range(2)]
    environment = {"FAULT": f"{fault.what}:{after}"} if fault.what in ("leave", "sleep") else {}
    script = ["-m", "benchmarks.faulty_worker"] if environment else ["train.py"]
    workers = started([*script, *flags_of(folder, 2, timeout)], logs, environment)
    try:
        if not environment:
            wait_for(fault, folder, logs[0], after, patience)
            time.sleep(draw.uniform(0.0, 0.5))
            workers[fault.victim].send_signal(signal.Signals[fault.what])
        began = time.monotonic()
        other = workers[1 - fault.victim]
        with contextlib.suppress(subprocess.TimeoutExpired):
            other.wait(patience)
        seconds, status = time.monotonic() - began, other.poll()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    lines = _errors(logs[1 - fault.victim])
    iterations, n_workers = iterations_done(folder), draw.choice((1, 2))
    return Ending(status, seconds, lines, iterations, n_workers, _continue(folder, timeout, n_workers, patience))


def started(
    arguments: Sequence[str],
    logs: Sequence[Path],
    environment: Mapping[str, str],
    own: Sequence[Sequence[str]] = ((), ()),
) -> list[subprocess.Popen]:
    """Starts workers, each with files for what it prints and for its errors, and with arguments of its own."""
    addresses = [f"localhost:{port}" for port in free_ports(len(logs))]
    workers = []
    for index, log in enumerate(logs):
        place = {**environment, "TF_CONFIG": place_of(index, addresses)}
        with open(log, "wb") as output, open(log.with_suffix(".err"), "wb") as errors:
            workers.append(
                subprocess.Popen(
                    [sys.executable, *arguments, *own[index]],
                    cwd=_REPOSITORY,
                    env=os.environ | place,
                    stdout=output,
                    stderr=errors,
                )
            )
    return workers


def _errors(log: Path) -> list[str]:
    return log.with_suffix(".err").read_text(encoding="utf-8", errors="replace").splitlines()


def _continue(folder: Path, timeout: float, n_workers: int, patience: float) -> int:
    """Lets a run go on to its end, on some workers; returns the first status that is not 0, 124 where it has no end."""
    arguments = ["train.py", *flags_of(folder, n_workers, timeout), "--quiet"]
    logs = [folder.with_name(f"{folder.name}_rest_{worker}.log") for worker in range(n_workers)]
    workers = started(arguments, logs, {})
    statuses, end = [], time.monotonic() + patience
    for worker in workers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(max(end - time.monotonic(), 0.0))
        statuses.append(worker.poll())
    for worker in workers:
        worker.kill()
        worker.wait()
    return next((_ENDLESS if status is None else status for status in statuses if status != 0), 0)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="new folder of the runs; a temporary one if it is left out")
    parser.add_argument("--only", type=int, nargs="*", default=range(1, len(FAULTS) + 1), help="numbers of faults")
    parser.add_argument("--worker_timeout", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="JSON file")
    return parser.parse_args(arguments)


def main() -> int:
    """Lets the runs have all faults; returns 1 if something was not as it must be."""
    flags, before = parse(), machine()
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        place = flags.folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        for number in flags.only:
            fault = FAULTS[number - 1]
            draw = random.Random(f"{flags.seed} {number}")
            ending = suffer(fault, place / f"fault_{number}", flags.worker_timeout, draw)
            problems = ending.problems()
            records.append({**fault._asdict(), **ending._asdict(), "problems": problems})
            words = "; ".join(problems) or "as it must be"
            say(f"{number}: {fault.what} of worker {fault.victim}, {fault.when}: {ending.seconds:.1f} s, {words}")
    rows = [
        [
            f"{one['what']} of worker {one['victim']}, {one['when']}",
            f"{one['seconds']:.1f}",
            str(one["status"]),
            str(one["iterations"]),
            f"{one['n_workers']}: {one['status_of_rest']}",
            "; ".join(one["problems"]) or "yes",
        ]
        for one in records
    ]
    header = ["fault", "seconds", "status", "iterations", "continued on: status", "as it must be"]
    show_table(f"{sum(not one['problems'] for one in records)} of {len(records)} faults", header, rows)
    write_json(flags.output, {"machine": before, "seed": flags.seed, "faults": records})
    return int(any(one["problems"] for one in records))


if __name__ == "__main__":
    sys.exit(main())
