"""Processes that answer requests over pipes: one line of JSON in, one line of JSON out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.floor import Product, phase_products
from benchmarks.problem import Problem

_REPOSITORY = Path(__file__).resolve().parents[1]


class Engine(Protocol):
    """The interface of a framework.

    Attributes:
        versions: package -> version.
        phases: name -> callable that runs this part of an iteration and returns when it is done; the names are
            `floor.PHASES` and "iterations".
        n_iterations: number of whole iterations that "iterations" runs.
    """

    versions: dict[str, str]
    phases: dict[str, Callable[[], Any]]
    n_iterations: int

    def evaluate(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns ln|Psi| and the local energies of the problem's walkers for its start weights, both (n_walkers,)."""

    def multiply(self, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Callable[[], None]:
        """Returns a callable that forms the matrix product of each pair, in the engine's dtype, and waits for all."""


class PeerError(Exception):
    """A process could not answer a request; the message is one line."""


class Peer:
    """A process that answers.

    Args:
        module: module that `python -m` runs.
        arguments: arguments of the command line.
        environment: variable -> value, beside those of this process.
        folder: checkout whose modules it runs; None for this one.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        folder: str | None = None,
    ):
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder or _REPOSITORY,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ask(self, **message: Any) -> Any:
        """Returns the answer to a message.

        Raises:
            PeerError: the process has ended, with the last line that it wrote to standard error.
        """
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerError(self._last_words())
        return json.loads(line)

    def close(self, patience: float = 10.0) -> None:
        """Ends the process: by a request, then by a signal."""
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process.stdout.close()

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()
        self._process.wait()

    def _last_words(self):
        status = self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        return lines[-1] if status > 0 and lines else f"ended with status {status}"


def answer(respond: Callable[[dict], Any]) -> None:
    """Answers messages until standard input ends.

    Standard output is reserved for the answers: all other output goes to standard error.

    Args:
        respond: message -> answer, both JSON values.
    """
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        channel.write(json.dumps(respond(json.loads(line))) + "\n")
        channel.flush()


def serve(make_engine: Callable[[Problem, str, int], Engine]) -> None:
    """Answers the requests of `iteration.py`: start, evaluate, time.

    Args:
        make_engine: (problem, dtype, n_iterations) -> Engine.
    """
    engine: Engine | None = None

    def respond(message: dict) -> Any:
        nonlocal engine
        if message["ask"] == "start":
            problem = Problem(**message["problem"])
            engine = make_engine(problem, message["dtype"], message["n_iterations"])
            for phase, products in phase_products(problem).items():
                engine.phases[f"products_{phase}"] = engine.multiply(_pairs(products, message["dtype"]))
            return engine.versions
        if message["ask"] == "evaluate":
            log_abs_psi, local_energy = engine.evaluate()
            return {"log_abs_psi": log_abs_psi.tolist(), "local_energy": local_energy.tolist()}
        return _seconds(engine.phases[message["phase"]], message["n_untimed"])

    answer(respond)


def _pairs(products: list[Product], dtype: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the factors of the products; products of equal shape share them."""
    pairs = []
    for product in products:
        factors = (np.full((product.m, product.k), 0.5, dtype), np.full((product.k, product.n), 0.5, dtype))
        pairs += [factors] * product.count
    return pairs


def _seconds(phase: Callable[[], Any], n_untimed: int) -> float:
    for _ in range(n_untimed):
        phase()
    started = time.perf_counter()
    phase()
    return time.perf_counter() - started


def run_once(module: str, timeout: float, **job: Any) -> Any:
    """Returns a fresh process' answer to one message.

    Args:
        module: module that `python -m` runs; it calls `answer`.
        timeout: maximum time in seconds.
        **job: the message.

    Raises:
        PeerError: the process failed or took too long.
    """
    peer = Peer(module)
    timer = threading.Timer(timeout, peer.kill)
    timer.start()
    try:
        return peer.ask(**job)
    except PeerError as error:
        raise PeerError(str(error) if timer.is_alive() else f"took longer than {timeout:g} s") from error
    finally:
        timer.cancel()
        peer.close()
