"""The examples in the docstrings run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator

import keras
import numpy as np
import pytest

import tf_nqs
from tf_nqs.config import settings_from, to_toml
from tf_nqs.experiment.build import build_ansatz, build_trainer

RUNS = {"a4": {"n_particles": 4, "interaction_strength": 10.0}, "a2v5": {"n_particles": 2, "interaction_strength": 5.0}}
"""Run folders that examples read -> their settings."""


def examples() -> Iterator[doctest.DocTest]:
    """Yields the docstrings of the package that have an example."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for found in pkgutil.walk_packages(tf_nqs.__path__, "tf_nqs."):
        yield from (one for one in finder.find(importlib.import_module(found.name)) if one.examples)


EXAMPLES = {one.name: one for one in examples()}
TAKE_LONG = {"tf_nqs.saved_model.export.export", "tf_nqs.training.vmc.VariationalMonteCarlo"}
"""They trace and compile whole trainings and exports; each needs some 10 seconds."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the run folders, untrained, and a trainer: what the examples take for given."""
    folder = tmp_path_factory.mktemp("examples")
    for name, leaves in RUNS.items():
        (folder / "runs" / name).mkdir(parents=True)
        settings = settings_from(None, leaves)
        (folder / "runs" / name / "config.toml").write_text(to_toml(settings))
        build_ansatz(settings).save_weights(folder / "runs" / name / "ansatz.weights.h5")
        (folder / "runs" / name / "result.json").write_text('{"energy": 10.89, "energy_error": 0.01}')
        (folder / "runs" / name / "metrics.csv").write_text("iteration,energy\n1,11.0\n")
    system, ansatz, settings = tf_nqs.load(folder / "runs" / "a2v5")
    return folder, build_trainer(settings, system, ansatz)


def test_what_one_starts_with_has_an_example():
    assert TAKE_LONG | {"tf_nqs.ansatz.fermion.FermionAnsatz", "tf_nqs.experiment.build.load"} <= EXAMPLES.keys()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in TAKE_LONG else name for name in EXAMPLES]
)
def test_example_runs(name, trained, monkeypatch):
    folder, vmc = trained
    monkeypatch.chdir(folder)
    example = EXAMPLES[name]
    example.globs |= {"tf_nqs": tf_nqs, "keras": keras, "np": np, "vmc": vmc}
    assert not any(doctest.SKIP in one.options for one in example.examples), "nothing is left unchecked"
    report: list[str] = []
    failed, tried = doctest.DocTestRunner().run(example, out=report.append)
    assert tried == len(example.examples)
    assert failed == 0, "".join(report)
