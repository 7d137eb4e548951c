"""The model of many workers, on numbers made by hand; and what its benchmark asks of each arm."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import distribution
from benchmarks.distribution_model import (
    WORKERS,
    Costs,
    efficiency,
    fitted_messages,
    fitted_serial,
    last_that_pays,
    message_seconds,
    seconds_per_iteration,
)
from benchmarks.faults import Ending
from tf_nqs.config import settings_from

SIZES = [4.0, 1e6]
COSTS = Costs(computing=1.0, serial=0.01, latency=1e-3, per_byte=1e-8)


def test_messages_of_a_ring():
    """Two workers send half of it twice; many send all of it twice, in more steps."""
    assert message_seconds(COSTS, 1, SIZES) == 0.0
    assert message_seconds(COSTS, 2, [1e6]) == pytest.approx(2 * 1e-3 + 1e6 * 1e-8)
    assert message_seconds(COSTS, 64, [1e6]) == pytest.approx(126 * (1e-3 + 1e6 / 64 * 1e-8))


def test_what_was_measured_of_two_workers_comes_back():
    measured = [(size, message_seconds(COSTS, 2, [size])) for size in SIZES]
    assert fitted_messages(measured) == pytest.approx((1e-3, 1e-8))
    alone, two = (seconds_per_iteration(COSTS, number, SIZES) for number in (1, 2))
    assert fitted_serial(alone, two, 1e-3, 1e-8, SIZES) == pytest.approx(COSTS)
    noisy = fitted_serial(alone, 0.4, 1e-3, 1e-8, SIZES)  # faster than it can be
    assert noisy.serial == 0.0 and noisy.computing == alone


def test_the_point_where_more_workers_stop_to_pay():
    shares = [efficiency(COSTS, number, SIZES) for number in WORKERS]
    assert shares[0] == 1.0 and np.all(np.diff(shares) < 0)
    last = last_that_pays(COSTS, SIZES)
    assert efficiency(COSTS, last, SIZES) >= 0.5 > efficiency(COSTS, 2 * last, SIZES)
    assert last_that_pays(COSTS._replace(latency=10.0), SIZES) == 1
    assert last_that_pays(COSTS._replace(computing=1e6), SIZES) == 64


@pytest.mark.parametrize("case", distribution.CASES)
def test_arms_of_the_benchmark_have_the_walkers_that_they_must(case):
    flags = distribution.parse([])
    walkers = {}
    for arm in ("one", "two", "weak"):
        leaves = distribution.settings_of(case, arm, flags)
        settings = settings_from(leaves.pop("config", None), leaves)
        assert settings.distribution.strategy == ("none" if arm == "one" else "multi_worker")
        walkers[arm] = settings.sampling.n_walkers
    assert walkers["one"] == walkers["two"] and walkers["one"] % 2 == 0
    if case in distribution.WEAK:
        assert walkers["weak"] == 2 * walkers["one"]


def test_sizes_of_messages():
    """Rows are sent once, what is summed twice."""
    flags = [distribution.parse([f"--share={share}"]) for share in (0.125, 1.0)]
    adam, spring, large = (
        distribution.message_sizes(distribution.settings_of(case, "one", one))
        for case, one in (("adam", flags[0]), ("spring", flags[0]), ("spring", flags[1]))
    )
    assert adam[0] == 4 * 512 * 4 and spring[0] == 4 * 256 * 4
    assert spring[2] == 256 * adam[2] / 2
    assert spring[3:] == [4 * 256**2 / 2] and len(adam) == 3  # the products of the rows
    assert large[3:] == [4 * 2048**2 / 2, *[8 * 1024**2 / 2] * 2]  # and blocks of these in float64


def test_more_particles_cost_what_their_walkers_do(monkeypatch):
    """Seconds of A = 4 as measured; those of others are more by the scaled difference of few walkers."""
    times = {4: 3.0, 12: 5.0}
    monkeypatch.setattr(distribution, "scaled_seconds", lambda case, number, core, flags: times[number])
    assert distribution.seconds_of_particles("spring", 7.0, (4, 12), 0, None) == [7.0, 9.0]
    assert distribution.seconds_of_particles("spring", 7.0, (4,), 0, None) == [7.0]


def test_models_of_both_cases_are_shown(monkeypatch, capsys):
    flags = distribution.parse(["--share=0.125", "--particles", "4"])
    messages = {"4": 1e-3, "1000000": 3e-3}
    rounds = {"one": [{"wall": 1.0}], "two": [{"wall": 0.6}], "apart": [{"wall": 1.0}]}
    results = {case: {"rounds": rounds, "messages": messages} for case in distribution.MODELLED}
    models = {case: distribution.modelled(case, found, 0, flags) for case, found in results.items()}
    assert models["spring"]["4"]["seconds"][64] > models["adam"]["4"]["seconds"][64]  # larger messages
    monkeypatch.setattr(distribution, "MESSAGES", (4, 1_000_000))
    distribution.show(results, models)
    printed = capsys.readouterr().out
    assert "model for adam" in printed and "model for spring" in printed


def test_what_a_fault_must_lead_to():
    good = Ending(3, 1.0, ["error: another worker has ended"], 40, 2, 0)
    assert good.problems() == []
    assert good._replace(status=None).problems() == ["the other worker was still there"]
    assert good._replace(status=1, lines=["Traceback", "error: x"]).problems() == [
        "status 1",
        "2 lines: Traceback | error: x",
    ]
    assert good._replace(status_of_rest=3).problems() == ["the run that continued ended with status 3"]
