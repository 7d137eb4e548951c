"""Callbacks: every iteration arrives once, what is written is whole, and training ends for the reason stated."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import sys
import threading
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from tensorflow.core.util import event_pb2

from tf_nqs.analysis import read_metrics
from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.callbacks import (
    METRICS_COLUMNS,
    IterationCallback,
    ProgressLine,
    RunLog,
    TimeLimit,
    WeightsCheckpoint,
    events,
    save_weights,
)
from tf_nqs.callbacks.progress import difference
from tf_nqs.callbacks.run_log import WHOLE_NUMBERS
from tf_nqs.config import RunFolderError
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.runtime.live import live_line
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.storage.files import folder_errors
from tf_nqs.training.natural_gradient import NaturalGradient
from tf_nqs.training.vmc import COLUMNS, VariationalMonteCarlo


class Clock:
    """Stands for the module `time` of a callback, whose clock then only moves by hand."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in ("checkpoint", "limits", "progress", "run_log"):
        monkeypatch.setattr(f"tf_nqs.callbacks.{module}.time", clock)
    return clock


@pytest.fixture(scope="module")
def vmc():
    """A small trainer; it is trained on and on."""
    keras.utils.set_random_seed(0)
    sampler = MetropolisHastings(n_walkers=16, n_steps=1, n_burn_in=5)
    vmc = VariationalMonteCarlo(FermionAnsatz(2, 4, 1), TrappedFermions(2), sampler, iterations_per_call=10)
    vmc.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    return vmc


class Recorder(IterationCallback):
    """Keeps all rows; may end or break training after a number of iterations."""

    def __init__(self, stop_after=np.inf, break_after=np.inf):
        super().__init__()
        self.calls = []
        self.stop_after = stop_after
        self.break_after = break_after

    def on_iterations(self, rows):
        self.calls.append(rows)
        n_done = sum(len(call["iteration"]) for call in self.calls)
        if n_done >= self.stop_after:
            self.stop("early_stopping")
        if n_done >= self.break_after:
            raise KeyboardInterrupt

    def column(self, name):
        return np.concatenate([call[name] for call in self.calls])


def make_rows(first=1, count=10, energy=2.4, **columns):
    """Rows as the trainer gives them, all iterations alike."""
    rows = {name: np.full(count, 0.5) for name in COLUMNS}
    numbers = {"iteration": np.arange(first, first + count, dtype=float), "energy": np.full(count, energy)}
    whole = {name: np.ones(count) for name in WHOLE_NUMBERS}
    return {**rows, **whole, **numbers, "n_non_finite": np.zeros(count), **columns}


class Model(SimpleNamespace):
    """A trainer without training: it can be told to stop."""

    stop, continue_training = VariationalMonteCarlo.stop, VariationalMonteCarlo.continue_training


class Training:
    """Stands for the trainer: gives a callback rows of which the test knows every number."""

    def __init__(self, *callbacks, ansatz=None):
        self.callbacks = callbacks
        self.model = Model(
            stop_training=False, stop_reason="iterations", ansatz=ansatz, recent_iterations=lambda: self.rows
        )
        for callback in callbacks:
            callback.set_model(self.model)
            callback.on_train_begin()

    def call(self, **arguments):
        self.rows = make_rows(**arguments)
        for callback in self.callbacks:
            callback.on_epoch_end(0)

    def end(self):
        for callback in self.callbacks:
            callback.on_train_end()


def assert_same_rows(found, expected):
    """All columns, bit by bit, but the time, which the trainer does not know."""
    assert tuple(found) == METRICS_COLUMNS
    for name in METRICS_COLUMNS:
        if name != "seconds":
            np.testing.assert_array_equal(found[name], expected[name])


# Every iteration once


def test_every_iteration_arrives_once(vmc):
    recorder, before = Recorder(), int(vmc.iteration)
    vmc.fit(25, callbacks=[recorder])
    assert [len(call["iteration"]) for call in recorder.calls] == [10, 10, 5]
    np.testing.assert_array_equal(recorder.column("iteration") - before, np.arange(1, 26))
    assert vmc.stop_reason == "iterations"


def test_stop_ends_training_after_the_call(vmc):
    recorder, before = Recorder(stop_after=15), int(vmc.iteration)
    vmc.fit(50, callbacks=[recorder])
    assert len(recorder.column("iteration")) == int(vmc.iteration) - before == 20
    assert vmc.stop_reason == "early_stopping"


def test_training_goes_on_after_a_stop(vmc):
    vmc.fit(20, callbacks=[Recorder(stop_after=1)])
    before = int(vmc.iteration)
    vmc.fit(20)
    assert int(vmc.iteration) - before == 20
    assert vmc.stop_reason == "iterations"


# Limits


def test_time_limit(clock):
    training = Training(TimeLimit(60.0))
    clock.now += 59.9
    training.call()
    assert not training.model.stop_training
    clock.now += 0.1
    training.call()
    assert training.model.stop_training
    assert training.model.stop_reason == "time_limit"


def test_time_limit_ends_fit_and_starts_anew(vmc, clock):
    class Later(IterationCallback):
        def on_iterations(self, rows):
            clock.now += 10.0

    limit = TimeLimit(15.0)
    for _ in range(2):
        before = int(vmc.iteration)
        vmc.fit(50, callbacks=[Later(), limit])
        assert int(vmc.iteration) - before == 20
        assert vmc.stop_reason == "time_limit"


def test_the_first_reason_to_stop_is_kept(clock):
    """A failed training is no training that merely ran out of time."""

    class Failing(IterationCallback):
        def on_iterations(self, rows):
            self.stop("failed")

    training = Training(Failing(), TimeLimit(60.0))
    clock.now += 60.0
    training.call()
    assert training.model.stop_reason == "failed"


# The files of a run


def read_events(folder):
    """(step, name) -> value of all TensorBoard events of a training, and their number."""
    points = {}
    count = 0
    for path in folder.glob("events*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = event_pb2.Event.FromString(record.numpy())
            for value in event.summary.value:
                points[event.step, value.tag] = tf.make_ndarray(value.tensor).item()
                count += 1
    return points, count


def test_run_log_of_a_training(vmc, tmp_path):
    recorder = Recorder()
    vmc.fit(25, callbacks=[RunLog(tmp_path), recorder])
    metrics = read_metrics(tmp_path / "metrics.csv")
    assert_same_rows(metrics, {name: recorder.column(name) for name in COLUMNS})
    assert np.all(metrics["seconds"] > 0)
    assert not (tmp_path / "metrics.csv").read_bytes().count(b"\r\r")
    points, count = read_events(tmp_path / "tensorboard")
    last = [call["iteration"][-1] for call in recorder.calls]
    optimiser = {"optimiser/learning_rate": 1e-3, "optimiser/step_factor": 1.0}
    tags = {events.tag(name): name for name in METRICS_COLUMNS[1:]}
    assert set(points) == {(step, name) for step in last for name in [*tags, *optimiser]}
    assert count == len(points)
    for (step, name), value in points.items():
        known = optimiser[name] if name in optimiser else metrics[tags[name]][metrics["iteration"] == step][0]
        assert value == np.float32(known)  # as events are


def test_events_of_a_natural_gradient_with_schedules(tmp_path):
    """Both fall as 1/(1 + t/decay); a failed solve has raised the damping tenfold, a repair halved the steps."""
    falls = keras.optimizers.schedules.InverseTimeDecay
    layer = NaturalGradient(damping=falls(3e-2, 10, 1.0))
    layer.build(1, "float32")
    layer.iteration.assign(20)
    layer.raise_damping()
    optimizer = keras.optimizers.SGD(falls(0.2, 100, 1.0))
    optimizer.iterations.assign(300)
    model = SimpleNamespace(optimizer=optimizer, natural_gradient=layer, step_factor=tf.constant(0.5))
    found = events.optimiser_values(model)
    wanted = {"optimiser/learning_rate": 0.05, "optimiser/step_factor": 0.5, "optimiser/damping": 0.1}
    assert found == pytest.approx(wanted, rel=1e-6)


def test_settings_and_the_reference_are_events_where_they_are_known(tmp_path):
    training = Training(RunLog(tmp_path, 2.5, "[system]\nn_particles = 2\n"))
    training.call(count=10)
    training.end()
    points, _ = read_events(tmp_path / "tensorboard")
    assert points[0, "settings"] == b"    [system]\n    n_particles = 2\n"
    assert read_events(tmp_path / "tensorboard/reference") == ({(10, "energy/energy"): 2.5}, 1)
    events.write_measured(tmp_path, 10, 2.25, None)
    assert read_events(tmp_path / "tensorboard/measured") == ({(10, "energy/energy"): 2.25}, 1)
    events.write_measured(tmp_path / "new", 10, None, None)
    assert not (tmp_path / "new").exists()


def test_numbers_read_back_to_the_same_bits(tmp_path):
    """Also those that decimals are bad at, and those that are none."""
    energies = np.array([1 / 3, 0.1, -0.0, 1e-310, 1.7e308, np.nan, np.inf, -np.inf, np.pi, np.float32(0.1)])
    training = Training(log := RunLog(tmp_path))
    training.call(first=10**12, energy=energies, n_non_finite=np.arange(10.0))
    training.end()
    metrics = read_metrics(log.folder / "metrics.csv")
    assert_same_rows(metrics, training.rows)
    assert metrics["energy"].tobytes() == energies.tobytes()
    text = (tmp_path / "metrics.csv").read_text()
    assert text.splitlines()[0] == ",".join(METRICS_COLUMNS)
    assert text.splitlines()[-1].startswith("1000000000009,")
    assert text.splitlines()[-1].split(",")[METRICS_COLUMNS.index("n_non_finite")] == "9"


def test_seconds_are_shared_by_the_iterations_of_a_call(tmp_path, clock):
    training = Training(RunLog(tmp_path))
    clock.now += 5.0
    training.call(count=10)
    clock.now += 1.0
    training.call(first=11, count=4)
    training.end()
    np.testing.assert_array_equal(read_metrics(tmp_path / "metrics.csv")["seconds"], [0.5] * 10 + [0.25] * 4)


def test_rows_are_on_disk_after_every_call(tmp_path):
    """So that a killed run loses one call at most, and has a header if it was killed in the first one."""
    training = Training(log := RunLog(str(tmp_path)))
    texts = [(tmp_path / "metrics.csv").read_bytes()]
    for n_calls in (1, 2):
        training.call(first=10 * n_calls - 9)
        texts.append((tmp_path / "metrics.csv").read_bytes())
    log.close()
    for n_calls, text in enumerate(texts):
        (tmp_path / "copy.csv").write_bytes(text)
        np.testing.assert_array_equal(read_metrics(tmp_path / "copy.csv")["iteration"], np.arange(1, 10 * n_calls + 1))


def test_interrupted_training_leaves_whole_files(vmc, tmp_path):
    """Ctrl-C passes through Keras without `on_train_end`: `close` does its work, once or twice."""
    log, recorder = RunLog(tmp_path), Recorder(break_after=20)
    with pytest.raises(KeyboardInterrupt):
        vmc.fit(50, callbacks=[log, recorder])
    log.close()
    log.on_train_end()
    metrics = read_metrics(tmp_path / "metrics.csv")
    assert len(metrics["iteration"]) == 20
    assert_same_rows(metrics, {name: recorder.column(name) for name in COLUMNS})
    assert read_events(tmp_path / "tensorboard")[1] == 2 * (len(METRICS_COLUMNS[1:]) + 2)  # and the optimiser's two


def test_interrupted_before_the_first_iteration(tmp_path):
    """Walkers burn in before Keras calls `on_train_begin`; Ctrl-C there must not become another error."""
    for callback in (RunLog(tmp_path), ProgressLine(20), WeightsCheckpoint(tmp_path / "a.weights.h5"), TimeLimit(1.0)):
        callback.on_train_end()
    assert list(tmp_path.iterdir()) == []


# The progress line


@pytest.mark.parametrize(
    ("energy", "text"),
    [
        (-6.0e-4, "-0.6e-3"),
        (0.0123, "+12.3e-3"),
        (2.2e-5, "+0.02e-3"),
        (1.25, "+1.25"),
        (-0.1, "-0.10"),
        (np.nan, "+nan"),
    ],
)
def test_differences_from_the_reference_are_in_thousandths(energy, text):
    assert difference(energy) == text


@pytest.mark.parametrize(
    ("width", "n_parts", "has_bar"), [(60, 3, False), (80, 5, False), (100, 6, False), (130, 7, True)]
)
def test_the_live_line_fits_the_terminal(width, n_parts, has_bar, clock):
    """Below 130 columns it lost its rate and the time left, and was cut inside a number."""
    line = ProgressLine(2000, 10.891422)
    training = Training(line)
    clock.now += 10.0
    training.call(first=1201, energy=10.89, energy_error=np.full(10, 0.0123), variance=np.full(10, 0.25))
    by_importance = ["iteration 1210/2000", "energy 10.8900(39)", "reference -1.4e-3", "33:10 left", "1.0/s"]
    by_importance += ["variance 0.25", "acceptance 0.50"]
    shown = io.StringIO()
    with live_line(line._parts, lambda: 0.5, Console(file=shown, width=width, force_terminal=True)):
        pass
    (drawn,) = {row for row in re.split(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]", shown.getvalue()) if "iteration" in row}
    assert drawn.rstrip() == "  ".join(by_importance[:n_parts])
    assert ("\u2501" in shown.getvalue()) == has_bar


@pytest.mark.parametrize("reference", [None, 2.0])
def test_lines_where_there_is_no_terminal(clock, capsys, reference):
    """One per ten seconds at most, and one at the end."""
    training = Training(ProgressLine(100, reference))
    printed = []
    for index in range(10):
        clock.now += 4.0
        training.call(first=10 * index + 1, energy=2.5)
        if line := capsys.readouterr().out:
            printed.append((10 * index + 10, line))
    training.end()
    assert capsys.readouterr().out == ""
    assert [iteration for iteration, _ in printed] == [30, 60, 90, 100]
    for iteration, line in printed:
        assert line.count("\n") == 1
        assert line.startswith(f"iteration {iteration}/100  energy 2.50(16)  ")  # 0.5 / sqrt(10)
        assert ("  reference +0.50  " in line) == (reference is not None)
        left = (100 - iteration) / 2.5
        assert (f"  0:{left:02.0f} left  " in line) == (left > 0)
        assert line.endswith("  2.5/s  variance 0.5  acceptance 0.50\n")


def test_line_below_the_reference_and_without_numbers(clock, capsys):
    training = Training(ProgressLine(20, 2.0))
    for energy in (1.0, np.nan):
        clock.now += 10.0
        training.call(energy=energy)
    lines = capsys.readouterr().out.splitlines()
    assert "  reference -1.00  " in lines[0]
    assert "energy -  " in lines[1]


def test_the_line_says_which_share_of_the_local_energies_is_left_out(clock, capsys):
    training = Training(ProgressLine(20))
    training.model.n_walkers_in_all = 400
    for n_non_finite in (0.0, 1.0):
        clock.now += 10.0
        training.call(n_non_finite=np.full(10, n_non_finite))
    first, second = capsys.readouterr().out.splitlines()
    assert "not finite" not in first and "  not finite 0.25 %  " in second


def test_a_short_training_prints_its_end(vmc, capsys):
    vmc.fit(20, callbacks=[ProgressLine(20)])
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert captured.out.startswith(f"iteration {int(vmc.iteration)}/20")
    assert captured.err == ""


class Terminal:
    """A pseudo terminal that takes the place of standard output; `shown` is what was written there."""

    def __init__(self, monkeypatch):
        self.monkeypatch = monkeypatch
        self.chunks = []

    def __enter__(self):
        self.monkeypatch.setenv("TERM", "xterm-256color")
        self.monkeypatch.setenv("COLUMNS", "160")
        for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            self.monkeypatch.delenv(name, raising=False)
        self.master, slave = pty.openpty()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.stream = os.fdopen(slave, "w")
        self.monkeypatch.setattr(sys, "stdout", self.stream)
        return self

    def __exit__(self, *_):
        self.monkeypatch.undo()
        self.stream.close()
        self.reader.join(10.0)
        os.close(self.master)

    def _read(self):
        # Linux reports by an error that the other side was closed.
        with contextlib.suppress(OSError):
            while text := os.read(self.master, 4096):
                self.chunks.append(text)

    @property
    def shown(self):
        return b"".join(self.chunks).decode()


@pytest.mark.parametrize("interrupted", [False, True])
def test_live_line_on_a_terminal(vmc, monkeypatch, interrupted):
    """The line is left, the cursor comes back, and no thread goes on drawing."""
    line, recorder = ProgressLine(30, 2.0), Recorder(break_after=20 if interrupted else np.inf)
    with Terminal(monkeypatch) as terminal:
        n_threads = threading.active_count()
        with pytest.raises(KeyboardInterrupt) if interrupted else contextlib.nullcontext():
            vmc.fit(30, callbacks=[line, recorder])
        line.close()
        line.close()
        stop_waiting = time.monotonic() + 30
        while threading.active_count() > n_threads and time.monotonic() < stop_waiting:
            time.sleep(0.01)  # TensorFlow's own threads may end a moment later
        assert threading.active_count() == n_threads
    assert f"iteration {int(vmc.iteration)}/30  energy " in terminal.shown
    assert re.search(r"  reference [+-][0-9.]+(e-3)?  ", terminal.shown)
    assert terminal.shown.count("\x1b[?25l") == terminal.shown.count("\x1b[?25h") == 1
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("iteration ")
    assert "Traceback" not in terminal.shown


# Weights


def make_ansatz(value=None):
    ansatz = FermionAnsatz(2, 4, 1)
    if value is not None:
        ansatz.set_weights([np.full(weight.shape, value) for weight in ansatz.get_weights()])
    return ansatz


def assert_holds(path, ansatz):
    """The file loads to this ansatz' weights."""
    loaded = make_ansatz()
    loaded.load_weights(path)
    for one, other in zip(loaded.get_weights(), ansatz.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", [str, None])
def test_checkpoints_come_in_their_time(tmp_path, clock, kind):
    path = tmp_path / "ansatz.weights.h5"
    ansatz = make_ansatz(1.0)
    training = Training(WeightsCheckpoint(kind(path) if kind else path, seconds=60.0), ansatz=ansatz)
    clock.now += 59.9
    training.call()
    assert list(tmp_path.iterdir()) == []
    clock.now += 0.1
    training.call()
    assert list(tmp_path.iterdir()) == [path]
    assert_holds(path, ansatz)
    # Counted from the last one.
    ansatz.set_weights([2 * weight for weight in ansatz.get_weights()])
    clock.now += 59.9
    training.call()
    assert_holds(path, make_ansatz(1.0))
    clock.now += 0.1
    training.call()
    assert_holds(path, make_ansatz(2.0))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_full_disk_leaves_the_old_weights(share, tmp_path, largest_file):
    """Where it ends half way, HDF5 would raise a RuntimeError on closing its own file, and end the process later."""
    path = tmp_path / "ansatz.weights.h5"
    save_weights(make_ansatz(1.0), path)
    line = r"^run_dir = 'runs/a4': cannot be written \(File too large\)$"
    with largest_file(int(share * path.stat().st_size)), pytest.raises(RunFolderError, match=line):
        with folder_errors("run_dir", "runs/a4", among_others=True):
            save_weights(make_ansatz(2.0), path)
    assert_holds(path, make_ansatz(1.0))
    assert list(tmp_path.iterdir()) == [path]
    save_weights(make_ansatz(2.0), path)
    assert_holds(path, make_ansatz(2.0))
    assert list(tmp_path.iterdir()) == [path]


def test_checkpoint_of_a_training(vmc, tmp_path):
    path = tmp_path / "ansatz.weights.h5"
    vmc.fit(20, callbacks=[WeightsCheckpoint(path, seconds=0.0)])
    assert_holds(path, vmc.ansatz)
