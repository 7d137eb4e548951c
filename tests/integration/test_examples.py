"""The scripts in examples/, which are the recipes of the guide, do what they say."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import runpy
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import tf_nqs

ROOT = Path(__file__).parents[2]
EXACT_PAIR = 2.425619
"""Energy of two particles with V0 = 10 and sigma0 = 0.5, in hbar*omega."""

DEMANDED = {"own_interaction", "own_layer", "own_network", "own_sampler", "transfer", "restart", "elsewhere"}
"""The recipes that the guide must have."""

WITHOUT_XLA = {"jit_compile": False}
"""The scripts compile by XLA, as users should; trainings as short as these are over before it has compiled."""

pytestmark = pytest.mark.slow


def example(name):
    """A script as a module; its main is not called."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_near(measured, exact):
    """Seeded and variational: below by at most 4 honest errors, above by at most 0.02 more, as trainings are short."""
    assert -4 * measured.energy_error < measured.energy - exact < 0.02 + 4 * measured.energy_error


def test_own_interaction():
    script = example("own_interaction")
    assert script.EXACT == pytest.approx(0.5 + math.sqrt(4.0) * 1.5)
    assert_near(script.main(**WITHOUT_XLA), script.EXACT)


def test_own_layer(capsys):
    names = runpy.run_path(str(ROOT / "examples/own_layer.py"), run_name="__main__")
    measured, model = names["measured"], names["model"]
    energy, exact = re.search(r"energy (\S+), exact (\S+)\n", capsys.readouterr().out).groups()
    assert energy == tf_nqs.analysis.format_with_error(measured.energy, measured.energy_error)
    assert re.search(r"\([1-9]\d\)$", energy) and float(exact) == pytest.approx(EXACT_PAIR, abs=1e-6)
    assert_near(measured, EXACT_PAIR)
    assert float(model.jastrow.height) != 0.0, "the factor was not trained"
    positions = np.array([[0.3, -0.8]], np.float32)
    sign, log_abs_psi = model(positions)
    swapped_sign, swapped = model(positions[:, ::-1])
    assert float(swapped_sign[0]) == -float(sign[0])
    assert float(swapped[0]) == pytest.approx(float(log_abs_psi[0]), abs=1e-5)  # some float32 roundings


def test_own_network():
    """Without XLA, where this network together with a natural gradient killed the interpreter."""
    measured, model = example("own_network").main(**WITHOUT_XLA)
    assert_near(measured, EXACT_PAIR)
    assert model.count_params() == 16 + 16 + 4 * (16 * 16 + 16) + 16 * 16 + 16 + 2 * 16 + 2  # attention: 4 maps


def test_own_sampler():
    script = example("own_sampler")
    assert script.EXACT == 4.0
    assert_near(script.main(**WITHOUT_XLA), script.EXACT)


def test_transfer():
    report, release, vmc = example("transfer").main(**WITHOUT_XLA)
    # 4H + 2H^2 numbers of the two equivariant layers with their biases, H = 16
    assert sum(report.copied.values()) == sum(report.frozen.values()) == 4 * 16 + 2 * 16**2
    assert (release.switched_at, int(vmc.iteration)) == (40, 60)
    assert all(layer.trainable for layer in vmc.ansatz.equivariant_layers)
    assert np.isfinite(vmc.recent_iterations()["energy"]).all()


def test_restart():
    at_the_break, after_it, whole = example("restart").main()
    for then, now, other in zip(at_the_break, after_it, whole, strict=True):
        assert np.isfinite(now).all() and not np.array_equal(then, now)
        np.testing.assert_array_equal(now, other)


def test_reweighting():
    script = example("reweighting")
    measured, n_samplings = script.main(**WITHOUT_XLA)
    assert_near(measured, EXACT_PAIR)
    assert n_samplings < script.ITERATIONS


def test_elsewhere():
    ansatz, positions, log_abs_psi, energies = example("elsewhere").main()
    _, own = ansatz(positions)
    np.testing.assert_allclose(log_abs_psi, own, rtol=0, atol=1e-4)  # float32, |ln|Psi|| of at most some tens
    assert np.isfinite(energies).all() and len(energies) == 1000


def run_script(*arguments):
    """Runs Python in the root of the repository; nothing may be written to standard error."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_several_workers(tmp_path):
    workers, folder = ["examples/several_workers.py", "2"], tmp_path / "shared"
    sizes = ["--n_particles=2", "--interaction_strength=10", "--n_features=16", "--n_walkers=256", "--iterations=60"]
    brief = ["--nojit_compile", "--target_error=0.02"]
    printed = run_script(*workers, "train.py", *sizes, *brief, f"--run_dir={folder}")
    assert printed.count(f"results go to {folder}") == 1  # the chief alone prints
    assert "2 devices of 2 workers, 128 walkers on each" in printed
    run_script(*workers, "-m", "tf_nqs.evaluate", f"--run_dir={folder}", "--target_error=0.01")
    evaluation = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert_near(types.SimpleNamespace(**evaluation), EXACT_PAIR)


def test_several_workers_observe_a_run_and_draw_a_curve(tmp_path):
    workers, folder = ["examples/several_workers.py", "2"], tmp_path / "run"
    tiny = ["--n_particles=2", "--n_features=8", "--n_layers=1", "--n_walkers=64", "--iterations=6"]
    run_script("train.py", *tiny, "--nojit_compile", "--target_error=1", f"--run_dir={folder}")
    seconds = "--evaluation_max_seconds=2"
    printed = run_script(*workers, "-m", "tf_nqs.observe", f"--run_dir={folder}", seconds)
    assert printed.count(" plots\n") == 1 and (folder / "observables.npz").is_file()
    curve = tmp_path / "curve"
    printed = run_script(*workers, "-m", "tf_nqs.curve", f"--run_dirs={folder}", f"--output={curve}", seconds)
    assert printed.count(f"written: {curve / 'curve.csv'}") == 1
    assert len((curve / "curve.csv").read_text(encoding="utf-8").splitlines()) == 1 + 1


FAMILY = """
n_particles = 2
n_features = 8
n_layers = 1
iterations = 6
n_conditions = 4
walkers_per_condition = 32
pretrain_iterations = 0
jit_compile = false
evaluation_max_seconds = 2.0
interaction_strength = [-5.0, 5.0]
"""


def test_several_workers_measure_members_of_a_family(tmp_path):
    workers, folder, config = ["examples/several_workers.py", "2"], tmp_path / "family", tmp_path / "family.toml"
    config.write_text(FAMILY, encoding="utf-8")
    run_script("train.py", f"--config={config}", f"--run_dir={folder}")
    members = [f"--run_dir={folder}", "--interaction_strength=-4,4", "--evaluation_max_seconds=2"]
    printed = run_script(*workers, "-m", "tf_nqs.observe", *members)
    assert len(list(folder.rglob("*observables*.npz"))) == 2 and printed.count("(2 of 2)") == 1
    curve = run_script(
        *workers, "-m", "tf_nqs.curve", f"--run_dir={folder}", "--interaction_strength=-4:4:3", *members[2:]
    )
    assert curve.count("3/3 ") == 1


def test_two_devices_of_a_laptop(tmp_path):
    """The guide's command, with fewer and smaller iterations, and with a reference by diffusion."""
    guide = (ROOT / "docs" / "distribution.md").read_text(encoding="utf-8")
    block = next(one for one in guide.split("```") if "--n_devices=2" in one)
    _, *command = block.replace("\\\n", " ").split()
    spread = ["--strategy=mirrored", "--n_devices=2"]
    assert command[0] == "train.py" and set(spread) <= set(command)
    folder, curve = tmp_path / "two_devices", tmp_path / "curve"
    small = ["--iterations=20", "--n_features=8", "--n_layers=1", "--n_walkers=64", "--nojit_compile"]
    brief = ["--reference=diffusion", "--target_error=0.05", "--evaluation_max_seconds=600"]  # it ends long before
    printed = run_script(*command, *small, *brief, f"--run_dir={folder}")
    assert "2 devices, 32 walkers on each" in printed
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result["n_iterations"] == 20 and result["reference_kind"] == "diffusion"
    run_script("-m", "tf_nqs.curve", f"--run_dirs={folder}", f"--output={curve}", *spread, *brief)
    lines = (curve / "curve.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 and ",diffusion," in lines[1]


SEARCH = """
n_particles = 2
interaction_strength = 10.0
n_features = 8
n_walkers = 64
jit_compile = false
target_error = 0.1
[search]
tuner = "random"
max_trials = 3
seconds_per_trial = 1.0
[search.space]
n_layers = {choices = [1, 2, 3]}
"""


def test_search_workers(tmp_path):
    config, folder = tmp_path / "search.toml", tmp_path / "search"
    config.write_text(SEARCH, encoding="utf-8")
    run_script("examples/search_workers.py", "2", f"--config={config}", f"--run_dir={folder}")
    assert len((folder / "trials.csv").read_text(encoding="utf-8").splitlines()) == 1 + 3
    assert (folder / "best.toml").is_file()


def test_every_example_is_a_recipe_and_tested():
    names = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert names >= DEMANDED
    pages = ("recipes", "distribution")
    recipes = "".join((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") for page in pages)
    assert {name for name in names if f"../examples/{name}.py" in recipes} == names
    assert {f"test_{name}" for name in names} <= globals().keys()


def test_the_pair_energy_is_what_the_package_computes():
    assert tf_nqs.reference_energy(2, 10.0, 0.5).energy == pytest.approx(EXACT_PAIR, abs=1e-6)


def test_the_notebook_of_the_first_steps(capsys):
    """All of its cells run, one after the other, and what they print is right."""
    cells = json.loads((ROOT / "examples/first_steps.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    for result in (names["result"], names["second"]):
        assert abs(result.energy - result.reference_energy) < 0.01 + 4 * result.energy_error
    assert float(names["difference"]) < 1e-4
    assert capsys.readouterr().out.count("exact") == 2
