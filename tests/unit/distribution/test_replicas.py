"""Trainings spread over replicas against the same training on one device: one trajectory, to the rounding of sums."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from examples.several_workers import free_ports, place_of

SCRIPT = Path(__file__).with_name("trainings.py")
SECONDS = 900.0
"""Longest time of a process: on a machine with much other work."""


def run(names, n_replicas, configs):
    """Returns the arrays that processes have written, one for each TF_CONFIG."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.npz") for number in range(len(configs))]
        started = []
        try:
            for file, config in zip(files, configs, strict=True):
                command = [sys.executable, str(SCRIPT), str(file), str(n_replicas), *names]
                environment = {name: one for name, one in os.environ.items() if name != "TF_CONFIG"} | config
                started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
            for process in started:
                _, errors = process.communicate(timeout=SECONDS)
                assert process.returncode == 0, errors[-3000:]
        finally:
            for process in started:
                process.kill()
                process.communicate()
        return [dict(np.load(file)) for file in files]


def assert_same(one, other):
    """The same trajectory: float64 rounds at 1e-16, and a natural gradient's solve makes more of it."""
    rtol = 1e-8
    for name in ("energies", "positions", "weights"):
        np.testing.assert_allclose(one[name], other[name], rtol=rtol, atol=rtol, err_msg=name)


def assert_products(arrays):
    """Those below the diagonal, of matrices whose rows the stripes do not divide."""
    for name in ("small", "columns", "large"):
        spread, whole = arrays[f"products/spread/{name}"]
        np.testing.assert_allclose(spread, whole, rtol=1e-13, atol=1e-13, err_msg=name)


def part(arrays, name, how):
    return {key.split("/")[2]: one for key, one in arrays.items() if key.startswith(f"{name}/{how}/")}


SPREAD = ("adam reuse many", "spring", "adam family", "refusals", "products", "solutions", "workers")

SPREAD_SLOWLY = (
    "adam",
    "adam average gentle",
    "adam lost",
    "adam mala",
    "adam many xla",
    "adam measured",
    "adam pretrained reuse",
    "adam resumed reuse",
    "adam short",
    "minsr local reuse",
    "spring released",
    "spring resumed",
    "spring family numbers",
    "spring many",
)


def test_two_replicas_train_as_one_device():
    """All in one test: the other processes of a test run would start the trainings again."""
    found = run(SPREAD, 2, [{}])[0]
    for name in SPREAD[:3]:
        assert_same(part(found, name, "spread"), part(found, name, "alone"))
    assert_products(found)
    np.testing.assert_allclose(found["solutions/spread/found"], found["solutions/spread/exact"], rtol=1e-10)
    assert np.isnan(found["solutions/spread/indefinite"]).all()
    assert list(found["workers/spread/numbers"]) == [0.5]
    assert list(found["refusals/spread/lines"]) == [
        "n_walkers = 11: must be a multiple of the strategy's 2 replicas",
        "optimizer = Adam with clipnorm: is not supported under a strategy",
        "optimizer = SGD: must be made in the scope of the strategy that the trainer was made in",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", SPREAD_SLOWLY)
def test_two_replicas_do_all_that_one_device_does(name):
    found = run((name,), 2, [{}])[0]
    spread, alone = part(found, name, "spread"), part(found, name, "alone")
    assert_same(spread, alone)
    if "measured" in name:
        np.testing.assert_allclose(spread["measured"], alone["measured"], rtol=1e-8)
    if "lost" in name:
        assert spread["energies"][0, 2] == 1


@pytest.mark.slow
@pytest.mark.parametrize("is_cluster", (False, True))
def test_a_strategy_of_one_replica_trains_as_none(is_cluster):
    configs = [{"TF_CONFIG": place_of(0, [f"localhost:{free_ports(1)[0]}"])} if is_cluster else {}]
    (found,) = run(names := ("adam reuse", "spring"), 1, configs)
    for name in names:
        assert_same(part(found, name, "spread"), part(found, name, "alone"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ("adam", "adam many", "spring family"))
def test_four_replicas_train_as_one_device(name):
    found = run((name,), 4, [{}])[0]
    assert_same(part(found, name, "spread"), part(found, name, "alone"))


def of_two_processes(*names, more=()):
    """Returns the arrays of the chief and of the other one, whose trainings must be the same bit by bit.

    Args:
        names: of trainings.
        more: names of what is no training.
    """
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    configs = [{"TF_CONFIG": place_of(index, addresses)} for index in range(2)]
    chief, other = run((*names, *more), 2, configs)
    for name in names:
        first, second = (part(one, name, "spread") for one in (chief, other))
        for key in ("positions", "weights"):
            np.testing.assert_array_equal(first[key], second[key], err_msg=f"{name}: {key}")
        both = [0, 1, -2, -1] if "resumed" in name else slice(None)  # the chief alone has trained on one device
        np.testing.assert_array_equal(first["energies"][both], second["energies"], err_msg=name)
        assert first["reason"] == second["reason"]
        assert_same(first, part(chief, name, "alone"))
    return chief, other


def test_two_processes_train_as_two_replicas():
    """Also with some iterations on one device between two parts.

    They end together, for the reason that one of them has; where one rounds otherwise, the chief's digits count.
    """
    name = "adam reuse resumed stopped drifting"
    chief, other = of_two_processes(name, more=("products", "workers"))
    for one in (chief, other):
        assert_products(one)
        assert list(one["workers/spread/numbers"]) == [0.5, 1.5]
    assert part(chief, name, "spread")["reason"] == "time_limit"


@pytest.mark.slow
@pytest.mark.parametrize("name", ("adam family", "spring", "spring family numbers"))
def test_two_processes_train_as_two_replicas_slowly(name):
    of_two_processes(name)
