"""The examples in the docstrings run, and print what they say."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

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


def documented_arguments(docstring: str) -> set[str]:
    """Returns the names in the section Args of a docstring."""
    section = re.search(r"^Args:\n((?:    .*\n|\n)+)", docstring + "\n", re.MULTILINE)
    lists = re.findall(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*):", section[1], re.MULTILINE) if section else []
    return {name.lstrip("*") for names in lists for name in names.split(", ")}


def arguments(function: ast.FunctionDef) -> set[str]:
    """Returns the names of all arguments of a function."""
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return {one.arg for one in (*named, given.vararg, given.kwarg) if one}


def test_documented_arguments_exist():
    """Those of a class are the constructor's, where the class has its own."""
    unknown, n_documented = {}, 0
    for path in Path(tf_nqs.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            makers = [node] if isinstance(node, ast.FunctionDef) else []
            if isinstance(node, ast.ClassDef):
                makers = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
            for maker in makers:
                documented = documented_arguments(ast.get_docstring(node) or "")
                n_documented += len(documented)
                if missing := documented - arguments(maker):
                    unknown[f"{path.name}:{node.name}"] = missing
    assert unknown == {} and n_documented > 1000


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
