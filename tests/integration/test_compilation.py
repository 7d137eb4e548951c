"""XLA compiles each function of a run once: not anew when weights, walkers or what is counted change.

TensorFlow compiles again, and keeps both programs, whenever an argument that XLA must know as a constant has another
value. Nobody notices but by the clock, by memory, and at last by a process that runs out of memory mappings.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = {
    "n_particles": 2,
    "interaction_strength": 5.0,
    "n_features": 4,
    "n_layers": 1,
    "n_walkers": 32,
    "n_burn_in": 20,
}
SHORT = {"iterations": 30, "target_error": 0.5, "evaluation_max_seconds": 1, "reference_max_seconds": 0}


@pytest.mark.parametrize(
    "changed",
    [
        {"optimizer": "spring", "resampling": "guarded"},
        pytest.param({"optimizer": "adam", "resampling": "guarded"}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "minsr", "resampling": "thesis"}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "sr", "resampling": "guarded"}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "spring", "resampling": "every_iteration"}, marks=pytest.mark.slow),
        pytest.param({"sampler": "mala"}, marks=pytest.mark.slow),
    ],
    ids=lambda changed: "-".join(map(str, changed.values())),
)
def test_nothing_is_compiled_twice(tmp_path, changed):
    chosen = SMALL | SHORT | changed | {"run_dir": tmp_path / "run"}
    flags = [f"--{name}={value}" for name, value in chosen.items()]
    dump = {"XLA_FLAGS": f"--xla_dump_to={tmp_path / 'dump'} --xla_dump_hlo_as_text"}
    command = [sys.executable, ROOT / "train.py", *flags, "--quiet"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | dump, check=True, timeout=300)
    names = [path.name for path in (tmp_path / "dump").glob("module_*.before_optimizations.txt")]
    compiled = Counter(re.fullmatch(r"module_\d+\.(.+?)\.\d+\.before_optimizations\.txt", name)[1] for name in names)
    assert any("walk" in name for name in compiled)
    assert max(compiled.values()) == 1, compiled
