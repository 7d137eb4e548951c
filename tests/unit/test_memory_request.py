"""How much memory a request is expected to take, how much there is, and what is said where it is too much."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tf_nqs.ansatz_counts import COUNTS
from tf_nqs.config import SettingsError, settings_from
from tf_nqs.config.chain import chain_from
from tf_nqs.experiment import build as builders
from tf_nqs.experiment import memory as memory_request
from tf_nqs.experiment.opening import spread_line
from tf_nqs.experiment.preflight import check_chain
from tf_nqs.experiment.share import Share
from tf_nqs.named_ansatze import ANSATZE, SIZES
from tf_nqs.training.record import COLUMNS

REPOSITORY = Path(__file__).resolve().parents[2]
GIBIBYTE = 2**30


def settings_of(**overrides):
    return settings_from(None, {"n_particles": 4, **overrides})


def sizes_of(**overrides):
    return memory_request.sizes_of(settings_of(**overrides))


def gibibytes(**overrides):
    """What a training needs."""
    return memory_request.total_bytes(memory_request.needs_of_training(sizes_of(**overrides))) / GIBIBYTE


@pytest.fixture
def sixteen_gibibytes(monkeypatch):
    monkeypatch.setattr(memory_request, "available_bytes", lambda: 16 * GIBIBYTE)


def refusal(**overrides):
    with pytest.raises(SettingsError) as caught:
        memory_request.check_training(settings_of(**overrides))
    return str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"n_layers": 1, "n_determinants": 3},
        {"n_particles": 5, "n_features": 7, "n_layers": 4},
        {"ansatz": "jastrow"},
        {"ansatz": "jastrow", "n_layers": 3, "n_pair_features": 4, "n_pair_layers": 3},
        {"interaction_strength": [-5.0, 5.0], "n_determinants": 2},
        {"interaction_strength": [-5.0, 5.0], "n_particles": [2, 4], "interaction_range": [0.3, 0.4, 0.6]},
        {"ansatz": "jastrow", "n_pair_features": 4, "n_particles": [2, 3]},
        {"ansatz": "jastrow", "n_layers": 3, "n_pair_layers": 3, "interaction_range": [0.3, 1.0]},
        {"ansatz": "jastrow", "n_particles": [2, 3], "strength_scale": "-5:5", "range_scale": "0.3:1"},
    ],
)
def test_number_of_parameters_is_that_of_the_ansatz(overrides):
    settings = settings_of(**{"n_particles": 3, "n_features": 6, **overrides})
    n_parameters = memory_request.n_parameters(memory_request.sizes_of(settings))
    assert n_parameters == builders.build_ansatz(settings).count_params()


def test_every_kind_is_counted_by_its_own_sizes():
    assert set(COUNTS) == set(ANSATZE)
    assert [leaf for kind, counts in COUNTS.items() for leaf in counts.leaves if leaf not in SIZES[kind]] == []


def test_columns_are_those_of_the_record():
    assert len(COLUMNS) <= memory_request._COLUMNS < 2 * len(COLUMNS)


def test_estimated_memory_tells_large_from_small():
    assert gibibytes() < 2  # the quickstart
    assert gibibytes(n_walkers=10**6, optimizer="minsr") > 10_000 > gibibytes(n_walkers=10**6) > 50
    assert 50 > gibibytes(n_walkers=10**6, optimizer="adam") > 5
    assert gibibytes(n_features=10**6, optimizer="adam") > 10_000
    assert gibibytes(optimizer="sr", n_walkers=10**5) < gibibytes(optimizer="minsr", n_walkers=10**5)
    assert gibibytes(optimizer="sr", n_walkers=10**5) == gibibytes(optimizer="spring", n_walkers=10**5)
    assert gibibytes(dtype="float64", n_features=512, n_walkers=4096) > gibibytes(n_features=512, n_walkers=4096)
    many = {"n_walkers": 10**6, "optimizer": "adam"}
    assert gibibytes(**many, pretrain_iterations=0) < gibibytes(**many)
    many["pretrain_iterations"] = 0
    assert gibibytes(**many, chunk_mebibytes=100) < gibibytes(**many, chunk_mebibytes=10**4)


@pytest.mark.parametrize("optimizer", ["spring", "adam"])
@pytest.mark.parametrize("leaf", ["n_steps", "n_layers", "n_determinants", "iterations_per_call", "iterations"])
def test_every_size_counts(leaf, optimizer, sixteen_gibibytes):
    largest = {leaf: 10**9, "iterations_per_call": 10**9 if leaf == "iterations_per_call" else 1}
    line = refusal(**({"iterations": 10**9, "optimizer": optimizer} | largest))
    assert leaf in line and "of memory, only 16 GiB available; must be " in line


def test_the_line_names_the_setting_and_what_would_fit(sixteen_gibibytes):
    line = refusal(n_walkers=10**7)
    assert line.startswith(
        "n_walkers = 10000000: needs about 976 GiB of memory, only 16 GiB available; must be at most abo"
    )
    assert "n_features lower" in line
    words = line.partition("at most about ")[2].partition(",")[0]
    n_walkers = int(words.replace(" ", ""))
    memory_request.check_training(settings_of(n_walkers=n_walkers))
    assert "n_walkers = " in refusal(n_walkers=int(1.1 * n_walkers))
    assert refusal(n_walkers=200_000).endswith("or optimizer = adam")
    assert "n_features = 1000000: needs " in refusal(n_features=10**6, n_walkers=1024)


def test_the_line_names_the_settings_of_a_family(sixteen_gibibytes):
    family = {"interaction_strength": [-20.0, 20.0], "n_particles": [2, 4], "walkers_per_condition": 64}
    line = refusal(**family, n_conditions=10**6)
    assert line.startswith("n_conditions = 1000000: needs about") and "walkers_per_condition lower" in line
    assert "n_walkers" not in line
    n_conditions = int(line.partition("at most about ")[2].partition(",")[0].replace(" ", ""))
    memory_request.check_training(settings_of(**family, n_conditions=n_conditions))
    assert "n_conditions = " in refusal(**family, n_conditions=int(1.1 * n_conditions))


def test_a_chain_is_refused_by_its_largest_stage(sixteen_gibibytes, tmp_path):
    stages = "n_particles = 2\n[[stage]]\n[[stage]]\nn_walkers = 10000000\n"
    (tmp_path / "chain.toml").write_text(stages)
    chain = chain_from(tmp_path / "chain.toml", {}, str(tmp_path / "new"))
    with pytest.raises(SettingsError, match=r"^stage 2: n_walkers = 10000000: needs about "):
        check_chain(chain)
    assert not (tmp_path / "new").exists()


def test_measuring_needs_less_than_training(sixteen_gibibytes):
    settings = settings_of(n_walkers=200_000)
    memory_request.check_measurement(settings)
    with pytest.raises(SettingsError, match=r"^n_walkers = 200000: "):
        memory_request.check_training(settings)


def test_presets_fit_into_a_small_machine(monkeypatch):
    monkeypatch.setattr(memory_request, "available_bytes", lambda: 4 * GIBIBYTE)
    for name in ("quickstart", "thesis", "free_fermions", "two_particles", "attractive"):
        memory_request.check_training(settings_from(name))


def test_the_groups_of_this_process_bound_its_memory(tmp_path, monkeypatch):
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(memory_request, "_GROUPS", tmp_path)
    monkeypatch.setattr(memory_request, "_OWN_GROUPS", tmp_path / "own")
    assert memory_request.available_bytes() == physical
    # Version 2: one tree for everything.
    (tmp_path / "own").write_text("0::/slice/job\n")
    (tmp_path / "slice" / "job").mkdir(parents=True)
    (tmp_path / "slice" / "job" / "memory.max").write_text("max\n")
    assert memory_request.available_bytes() == physical
    (tmp_path / "slice" / "memory.max").write_text("5000\n")
    assert memory_request.available_bytes() == 5000
    # Version 1, as in a container that does not see the path of its group, but its root.
    (tmp_path / "own").write_text("5:cpu,cpuacct:/x\n4:memory:/docker/x\n0::/\n")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("4000\n")
    assert memory_request.available_bytes() == 4000


MEASURED = {
    "spring": {"n_walkers": 7000},
    "adam": {"n_walkers": 100_000, "optimizer": "adam"},
    "sr": {"n_walkers": 30_000, "n_features": 24, "optimizer": "sr"},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MEASURED)
def test_estimates_are_right_within_a_factor_of_two(kind, tmp_path):
    short = {"iterations": 4, "iterations_per_call": 2, "pretrain_iterations": 2, "n_burn_in": 10, "n_steps": 2}
    short |= {"evaluation_max_seconds": 1.0, "quiet": "true", "run_dir": tmp_path / "run"}
    overrides = short | MEASURED[kind]
    arguments = [f"--{leaf}={value}" for leaf, value in overrides.items()]
    process = subprocess.Popen([sys.executable, REPOSITORY / "train.py", "--n_particles=4", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # it does not know, as it was not asked itself
    assert process.returncode == 0
    estimated = gibibytes(**{leaf: value for leaf, value in overrides.items() if leaf not in ("quiet", "run_dir")})
    assert 0.5 < usage.ru_maxrss * 1024 / GIBIBYTE / estimated < 2


def test_pairs_of_a_jastrow_ansatz_are_counted(sixteen_gibibytes):
    """They are A^2 per walker: 64 particles need about 250 times as much for each walker as 4 particles."""
    assert gibibytes(ansatz="jastrow") < 2
    assert gibibytes(ansatz="jastrow", n_particles=64, n_walkers=10**5) > 16
    line = refusal(ansatz="jastrow", n_particles=64, n_walkers=10**5, optimizer="adam")
    assert line.startswith("n_walkers = 100000: needs about") and "n_pair_features lower" in line
    assert "n_determinants" not in line
    line = refusal(ansatz="jastrow", n_pair_features=10**6)
    assert line.startswith("n_pair_features = 1000000: needs about")


def needed(share, **overrides):
    sizes = memory_request.sizes_of(settings_of(**overrides), Share(*share))
    return memory_request.total_bytes(memory_request.needs_of_training(sizes))


def test_devices_of_one_process_have_weights_of_their_own():
    wide = {"n_features": 2048, "n_walkers": 64, "optimizer": "adam"}
    weights = 5 * 4 * memory_request.n_parameters(sizes_of(**wide))
    assert needed((2, 2), **wide) - needed((1, 1), **wide) == pytest.approx(weights, rel=0.02)


@pytest.mark.parametrize(
    "large", [{"n_walkers": 200_000, "n_features": 512, "n_steps": 1}, {"n_walkers": 200_000, "n_steps": 1000}]
)
def test_a_worker_samples_its_own_walkers_alone(large):
    """Two devices of one process together need as much as one; a worker with one of them half of the features."""
    large |= {"optimizer": "adam", "pretrain_iterations": 0}
    assert 0.5 < needed((2, 1), **large) / needed((1, 1), **large) < 0.6
    assert needed((2, 2), **large) == pytest.approx(needed((1, 1), **large), rel=0.01)


def test_workers_on_one_machine_share_its_memory(sixteen_gibibytes, monkeypatch):
    wide = {"n_features": 16384, "optimizer": "adam", "strategy": "multi_worker"}
    tasks = '"task": {"type": "worker", "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, ' + tasks)
    memory_request.check_training(settings_of(**wide))
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "a:2", "b:1"]}, ' + tasks)
    assert "only 8 GiB available" in refusal(**wide)


def test_the_line_about_devices():
    settings = settings_of(n_walkers=1024, strategy="mirrored", n_devices=2)
    line = spread_line(settings, Share(4, 2, 1))
    assert line.startswith("4 devices of 2 workers, 256 walkers on each; needs about ")
    assert "of memory per worker, of which " in line and line.endswith("MiB per device")
    assert spread_line(settings, Share(2, 2)).startswith("2 devices, 512 walkers on each")


def test_memory_in_words():
    words = [memory_request.in_words(mebibytes * 2**20) for mebibytes in (1.18, 1001, 1024, 2500 * 1024)]
    assert words == ["1.18 MiB", "1001 MiB", "1 GiB", "2.44 TiB"]
