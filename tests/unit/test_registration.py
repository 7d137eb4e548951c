"""After `import tf_nqs` alone Keras reads files with our classes in them, and TensorFlow starts without a word."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import tf_nqs
from tf_nqs import layers
from tf_nqs.runtime import registration
from tf_nqs.training import NaturalGradient

PACKAGE = Path(tf_nqs.__file__).parent

READ_ALL = """
import json
import numpy
{imports}
import sys
assert "tf_nqs.ansatz" not in sys.modules and "tf_nqs.training" not in sys.modules
configurations, model, positions = json.loads(sys.argv[1])
names = [type(keras.saving.deserialize_keras_object(one)).__name__ for one in configurations]
ansatz = keras.models.load_model(model)
print(json.dumps([names, ansatz(numpy.array(positions, numpy.float32)).log_abs_psi.numpy().tolist()]))
"""


@pytest.mark.parametrize(
    ("imports", "is_quiet"),
    [
        ("import tf_nqs, keras, tf_nqs.types", True),
        pytest.param("import keras, tf_nqs, tf_nqs.types", False, marks=pytest.mark.slow),
    ],
)
def test_a_fresh_process_reads_all_classes(tmp_path, imports, is_quiet):
    """None of the package's own names is touched; who imports Keras first hears TensorFlow start, as anywhere."""
    ansatz = tf_nqs.FermionAnsatz(2, 4)
    ansatz.save(tmp_path / "a.keras")
    positions = np.array([[0.5, -1.0], [0.2, 0.3]], np.float32)
    objects = [
        layers.EquivariantLayer(4),
        layers.OrbitalLayer(2),
        layers.LogEnvelope(2),
        layers.SlaterDeterminant(),
        NaturalGradient(),
        ansatz,
    ]
    configurations = [keras.saving.serialize_keras_object(one) for one in objects]
    arguments = json.dumps([configurations, str(tmp_path / "a.keras"), positions.tolist()])
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL.format(imports=imports), arguments],
        env=environment,
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    names, found = json.loads(done.stdout)
    assert names == [type(one).__name__ for one in objects]
    np.testing.assert_allclose(found, ansatz(positions).log_abs_psi, rtol=1e-6)  # float32
    if is_quiet:
        assert done.stderr == ""


def test_every_registered_class_has_its_stand_in():
    decorated, pattern = {}, r'^@keras\.saving\.register\w+\("tf_nqs"\)\nclass (\w+)'
    for path in PACKAGE.rglob("*.py"):
        for name in re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            decorated[name] = importlib.import_module(".".join(parts))
    assert decorated.keys() == registration.REGISTERED.keys()
    for name, module in registration.REGISTERED.items():
        assert getattr(importlib.import_module(module), name) is getattr(decorated[name], name)
        assert keras.saving.get_registered_object(f"tf_nqs>{name}") is getattr(decorated[name], name)
