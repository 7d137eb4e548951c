"""Where a training starts is decided once; only random weights are brought near free fermions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tf_nqs.config import settings_from
from tf_nqs.experiment import start
from tf_nqs.experiment.start import Start
from tf_nqs.storage.checkpoints import Checkpoint

RESUMED = Start(Checkpoint(Path("ckpt-1"), {"iteration": 7, "seconds": 2.0}))
NARROW = {"interaction_strength": -100.0, "interaction_range": 0.1}


@pytest.mark.parametrize(
    ("place", "orbitals", "changes", "expected"),
    [
        (Start(), True, {}, ["orbitals"]),
        (Start(), True, NARROW, ["orbitals"]),
        (Start(), "movable", NARROW, ["cluster"]),
        (Start(), "movable", {}, ["orbitals"]),
        (Start(), True, {"pretrain_iterations": 0}, []),
        (Start(), False, {}, []),
        (Start(transfer={"source": "runs/a2"}), True, {}, []),
        (RESUMED, "movable", NARROW, []),
    ],
)
def test_what_a_start_prepares(place, orbitals, changes, expected, monkeypatch):
    called = []
    monkeypatch.setattr(start, "pretrain", lambda *_: called.append("orbitals"))
    monkeypatch.setattr(start, "start_in_cluster", lambda *_: called.append("cluster"))
    names = ["orbitals"] * bool(orbitals) + ["move_orbitals", "shrink_orbitals"] * (orbitals == "movable")
    ansatz = SimpleNamespace(**dict.fromkeys(names, lambda *_: None))
    vmc = SimpleNamespace(ansatz=ansatz, sampler=SimpleNamespace(n_walkers=8))
    place.prepare(vmc, settings_from(None, {"n_particles": 2, "pretrain_iterations": 3} | changes))
    assert called == expected


@pytest.mark.parametrize(
    ("place", "changes", "expected"),
    [
        (Start(), {}, [False]),
        (Start(), {"pretrain_iterations": 0}, []),
        (Start(transfer={"kind": "particle"}), {}, [True]),
        (Start(transfer={"kind": "interaction"}), {}, []),
        (RESUMED, {}, []),
    ],
)
def test_what_an_ansatz_without_orbitals_prepares(place, changes, expected, monkeypatch, messages):
    """A particle transfer keeps its weights, but has new walkers; an interaction transfer has both."""
    kept = []

    def start_as_cluster(vmc, seed, keep_weights):
        kept.append(keep_weights)
        return 0.25

    monkeypatch.setattr(start, "start_as_cluster", start_as_cluster)
    vmc = SimpleNamespace(ansatz=SimpleNamespace(start_in_cluster=lambda size: None))
    place.prepare(vmc, settings_from(None, {"n_particles": 2, "ansatz": "jastrow"} | changes))
    assert kept == expected
    assert [("walkers start as clusters of size 0.25 a_ho" in line) for line in messages] == [True] * len(expected)


@pytest.mark.parametrize(("place", "leaves"), [(Start(), {}), (RESUMED, {"transfer_from": "runs/nowhere"})])
def test_a_checkpoint_has_the_weights_of_the_transfer(place, leaves):
    settings = settings_from(None, {"n_particles": 2} | leaves)
    assert place.transferred(SimpleNamespace(), settings) is place


def test_iterations_and_seconds_count_from_the_checkpoint():
    assert (RESUMED.iteration, RESUMED.seconds) == (7, 2.0)
    assert (Start().iteration, Start().seconds) == (0, 0.0)
