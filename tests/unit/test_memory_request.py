"""How much memory a trial is expected to take, and how much there is."""

from __future__ import annotations

import pytest

from tf_nqs import builders
from tf_nqs.config import settings_from
from tf_nqs.tuning import memory


@pytest.mark.parametrize(
    "overrides", [{}, {"n_layers": 1, "n_determinants": 3}, {"n_particles": 5, "n_features": 7, "n_layers": 4}]
)
def test_number_of_parameters_is_that_of_the_ansatz(overrides):
    settings = settings_from(None, {"n_particles": 3, "n_features": 6, **overrides})
    assert memory.n_parameters(settings) == builders.build_ansatz(settings).count_params()


def test_estimated_memory_tells_large_from_small():
    def gibibytes(**overrides):
        return memory.estimated_bytes(settings_from(None, {"n_particles": 4, **overrides})) / memory.GIBIBYTE

    assert gibibytes() < 0.2  # the quickstart
    assert gibibytes(n_walkers=10**6) > 10_000 > gibibytes(n_walkers=10**6, optimizer="adam") > 1
    assert gibibytes(n_features=10**6, optimizer="adam") > 10_000
    assert gibibytes(optimizer="sr", n_walkers=10**5) < gibibytes(optimizer="minsr", n_walkers=10**5)
    assert gibibytes(dtype="float64", n_features=512) > gibibytes(n_features=512)


def test_available_memory_is_that_of_the_control_group(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 4000 kB\nMemAvailable:    3000 kB\n")
    monkeypatch.setattr(memory, "_MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert memory.available_bytes() == 3000 * 1024
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() == 3000 * 1024
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory.available_bytes() == 4000
