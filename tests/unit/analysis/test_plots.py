"""The picture of a run: what is on it, and that odd runs still give one."""

import errno
import os
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

import tf_nqs
from tf_nqs.analysis.canvas import mathematics, save_figure
from tf_nqs.analysis.plots import energy_figure, energy_limits, plot_energy, running_mean


def run_metrics(n_iterations):
    """Returns the columns of a run that descends from 14 to 10.89, with noise 0.02 and one spike."""
    iterations = np.arange(n_iterations)
    noise = np.random.default_rng(0).normal(scale=0.02, size=n_iterations)
    energies = 10.89 + 3.0 * np.exp(-iterations / max(n_iterations / 50, 1)) + noise
    energies[n_iterations // 2] += 30.0
    return {"iteration": iterations, "energy": energies}


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_picture_is_written(tmp_path, suffix):
    """A file of each format, with something on it."""
    path = plot_energy(run_metrics(2000), 10.8914, tmp_path / "new" / f"e.{suffix}", "A = 4", measured=(10.8916, 1e-3))
    assert path.stat().st_size > 5000
    if suffix == "png":
        picture = imread(path)[..., :3]
        assert picture.shape[0] > 600
        assert 0.02 < np.mean(picture.min(axis=-1) < 0.95) < 0.5  # ink, but not too much of it


def test_no_pyplot_no_state(tmp_path):
    """Neither the backend nor the list of open figures changes."""
    backend = matplotlib.rcParams._get("backend")
    plot_energy(run_metrics(20), None, tmp_path / "e.png", "")
    assert matplotlib.rcParams._get("backend") == backend
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_labels_and_curves():
    """Units, legend, title."""
    figure = energy_figure(run_metrics(5000), 10.891445, "A = 4, V0 = 10", measured=(10.89161, 0.0013))
    top, bottom = figure.axes
    labels = [text.get_text() for text in top.get_legend().get_texts()]
    assert labels == ["per iteration", "mean over 100 iterations", "reference 10.89144", "measured 10.8916(13)"]
    assert top.get_ylabel() == "Energy (ħω)"
    assert bottom.get_ylabel() == "|Energy \N{MINUS SIGN} reference| (ħω)"
    assert bottom.get_xlabel() == "Iteration"
    assert bottom.get_yscale() == "log"
    assert figure.get_suptitle() == "$A$ = 4, $V_0$ = 10"


@pytest.mark.parametrize(
    ("plain", "set_as"),
    [
        ("A = 4, V0 = -10, sigma0 = 0.5", "$A$ = 4, $V_0$ = \N{MINUS SIGN}10, $\\sigma_0$ = 0.5"),
        ("Interaction transfer, V0 = 5 to 10", "Interaction transfer, $V_0$ = 5 to 10"),
        ("proposal_width (a_ho)", "proposal_width ($a_\\mathrm{ho}$)"),
        ("A figure: 3-4 of V0_ARMS", "A figure: 3-4 of V0_ARMS"),
    ],
)
def test_symbols_are_set_as_mathematics(plain, set_as):
    assert mathematics(plain) == set_as


def test_transient_and_spike_do_not_flatten_the_rest():
    """The axis shows the converged part."""
    low, high = energy_figure(run_metrics(5000), 10.89, "").axes[0].get_ylim()
    # The noise of 0.02 spans 0.1, the transient 3, the spike 30 (0.3 in the mean over 100 iterations).
    assert low < 10.85
    assert 10.93 < high < 11.5


def test_limits_hold_reference_and_measurement():
    """Also far away from the energies."""
    energies = np.full(10, 5.0)
    low, high = energy_limits(energies, energies, 4.0, (6.0, 0.5))
    assert low < 4.0
    assert high > 6.5
    low, high = energy_limits(energies, energies, None, None)
    assert low < 5.0 < high


@pytest.mark.parametrize("reference", [None, 10.89])
@pytest.mark.parametrize("measured", [None, (10.9, 0.1), (10.9, float("nan")), (float("nan"), float("nan"))])
@pytest.mark.parametrize("energies", [[], [11.0], [np.nan], [np.nan] * 40, [10.89] * 5, [11.0, np.inf, np.nan, 12.0]])
@pytest.mark.filterwarnings("error")
def test_odd_runs_are_drawn(energies, reference, measured):
    """Empty, short, constant and broken runs, with and without reference and measurement."""
    metrics = {"iteration": np.arange(len(energies)), "energy": np.array(energies, dtype=float)}
    figure = energy_figure(metrics, reference, "odd", measured=measured)
    figure.canvas.draw()
    assert len(figure.axes) == (1 if reference is None else 2)


def test_columns_of_different_length_are_refused():
    """Before anything is drawn."""
    with pytest.raises(ValueError, match="as long as iteration"):
        energy_figure({"iteration": np.arange(3), "energy": np.zeros(2)}, None, "")


def test_running_mean():
    """Centred, shorter at the ends, blind to nan."""
    values = np.array([1.0, 2.0, np.nan, 4.0, 9.0])
    np.testing.assert_allclose(running_mean(values, 1), values)
    np.testing.assert_allclose(running_mean(values, 3), [1.5, 1.5, 3.0, 6.5, 6.5])
    np.testing.assert_allclose(running_mean(values, 2), [1.5, 2.0, 4.0, 6.5, 9.0])
    np.testing.assert_allclose(running_mean(np.full(4, np.nan), 3), np.nan)
    assert running_mean(np.empty(0), 3).shape == (0,)


class Full:
    """A figure for which the disk has no room: it writes a part of itself."""

    def savefig(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_picture_that_cannot_be_written_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "e.png"
    path.write_bytes(b"earlier")
    with pytest.raises(OSError, match="No space left"):
        save_figure(Full(), path)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("e.png", b"earlier")]


def test_no_picture_is_written_but_whole():
    """`save_figure` alone calls savefig."""
    package = Path(tf_nqs.__file__).parent
    assert [path.name for path in package.rglob("*.py") if ".savefig(" in path.read_text("utf-8")] == ["canvas.py"]
