"""What is imported before a training, and garbage collection meanwhile."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import pytest

from tf_nqs.execution.compilation import warm_up
from tf_nqs.runtime.startup import collection_paused


@pytest.fixture
def collecting():
    """The collector as it was, frozen objects given back."""
    was_enabled = gc.isenabled()
    gc.enable()
    yield
    gc.unfreeze()
    (gc.enable if was_enabled else gc.disable)()


def test_a_training_waits_for_no_package_that_it_does_not_need():
    """What Keras would load with it is not even loaded later, and can still be imported."""
    code = """
import sys
from tf_nqs.runtime.startup import import_tensorflow
import_tensorflow()
import tensorflow as tf
tf.keras, tf.function
from tf_nqs.experiment import run as experiment
print(sorted({"matplotlib", "sklearn"} & sys.modules.keys()))
from tf_nqs.analysis.canvas import new_figure
print(new_figure(3, 2).get_size_inches(), "matplotlib.pyplot" in sys.modules)
import matplotlib.pyplot"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[3. 2.] False\n"


class Cycle:
    def __init__(self):
        self.itself = self


@pytest.mark.parametrize("freeze", [False, True])
def test_collection_is_paused_and_goes_on(collecting, freeze):
    with collection_paused(freeze):
        assert not gc.isenabled()
        garbage = weakref.ref(Cycle())
    assert gc.isenabled()
    gc.collect()
    assert (garbage() is not None) == freeze  # what is frozen is never looked at again


def test_collection_goes_on_after_an_error_and_stays_off_where_it_was(collecting):
    with pytest.raises(ZeroDivisionError), collection_paused():
        raise ZeroDivisionError
    assert gc.isenabled()
    gc.disable()
    with collection_paused():
        pass
    assert not gc.isenabled()


def test_nothing_is_collected_while_phases_are_traced(collecting):
    seen = []
    warm_up([(lambda: seen.append(gc.isenabled()), ())], meanwhile=lambda: seen.append(gc.isenabled()))
    assert set(seen) == {False}
    assert len(seen) >= 2
    assert gc.isenabled()
