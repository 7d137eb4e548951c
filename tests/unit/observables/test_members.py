"""Several members of a family side by side: their picture, their table, and what is compiled for them."""

from __future__ import annotations

import types

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.observables.conditional import conditional_orbital
from tf_nqs.observables.grid import even_grid
from tf_nqs.observables.measure import compiled_orbitals
from tf_nqs.observables.members import MemberSummary, common_title, labels_of, members_table
from tf_nqs.observables.members_plot import members_figure, plot_members
from tf_nqs.trainer import Compilation
from tf_nqs.types import Estimate, SignedLog


def summary(n_particles, strength, exact=False):
    x = even_grid(4.0, 0.1)
    density = n_particles * np.exp(-(x**2)) / np.pi**0.5
    occupations = np.append(np.full(n_particles, 0.9), 0.1 * n_particles)
    return MemberSummary(
        f"A = {n_particles}, V0 = {strength:g}, sigma0 = 0.5",
        n_particles,
        x,
        Estimate(density, np.full(len(x), 0.0011)),
        Estimate(occupations, np.full(n_particles + 1, 0.0012)),
        Estimate(np.array(1.25), np.array(0.0013)),
        density if exact else None,
        occupations if exact else None,
    )


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_titles_are_split_into_what_is_common_and_what_varies():
    titles = [summary(4, strength).title for strength in (-10, 0)]
    assert (common_title(titles), labels_of(titles)) == ("A = 4, sigma0 = 0.5", ["V0 = -10", "V0 = 0"])
    assert labels_of([summary(A, V).title for A in (2, 3) for V in (0, 1)])[1] == "A = 2, V0 = 1"


def test_one_parameter_varies():
    figure = members_figure([summary(4, -10, exact=True), summary(4, 0), summary(4, 10)])
    density, occupations = figure.axes
    assert legend_of(figure) == ["$V_0$ = \N{MINUS SIGN}10", "$V_0$ = 0", "$V_0$ = 10", "exact"]
    assert figure.get_suptitle() == r"$A$ = 4, $\sigma_0$ = 0.5"
    assert len(density.lines) == 4 and len(density.collections) == 3  # the exact one has no band
    np.testing.assert_allclose(density.lines[0].get_ydata().max(), 4 / np.pi**0.5)
    assert len(occupations.containers) == 3 and occupations.get_yscale() == "log"
    # From dark to light, as the parameter grows.
    brightness = [np.dot((0.3, 0.6, 0.1), density.lines[index].get_color()[:3]) for index in (0, 2, 3)]
    assert brightness == sorted(brightness)


def test_numbers_of_particles_have_a_row_each_only_if_something_else_varies():
    figure = members_figure([summary(A, 5) for A in (2, 3, 4)])
    assert len(figure.axes) == 2 and legend_of(figure) == ["$A$ = 2", "$A$ = 3", "$A$ = 4"]
    figure = members_figure([summary(A, V) for A in (2, 3) for V in (0, 5)])
    assert len(figure.axes) == 4 and legend_of(figure) == ["$V_0$ = 0", "$V_0$ = 5"]
    assert [panel.get_title(loc="left") for panel in figure.axes[::2]] == ["$A$ = 2", "$A$ = 3"]
    colours = [[tuple(line.get_color()) for line in panel.lines] for panel in figure.axes[::2]]
    assert colours[0] == colours[1]


def test_a_legend_stays_short():
    labels = legend_of(members_figure([summary(2, V) for V in range(41)]))
    assert len(labels) == 12 and (labels[0], labels[-1]) == ("$V_0$ = 0", "$V_0$ = 40")


def test_the_picture_replaces_those_in_other_formats(tmp_path):
    (tmp_path / "picture.pdf").touch()
    plot_members(tmp_path / "picture.png", [summary(2, 0), summary(2, 1)])
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_the_table_has_a_row_for_each_member():
    header, *rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in members_table([summary(2, 0), summary(4, 5)]).splitlines()
        if "│" in line
    ]
    assert header == ["Member", "Rms size (a_ho)", "Peak density (1/a_ho)", *(f"Occupation {k}" for k in range(1, 5))]
    assert rows[0] == ["A = 2, V0 = 0", "1.2500(13)", "1.1284(11)", "0.9000(12)", "0.9000(12)", "0.2000(12)", ""]
    assert rows[1] == ["A = 4, V0 = 5", "1.2500(13)", "2.2568(11)", *["0.9000(12)"] * 4]


@pytest.mark.parametrize(("half_width", "n_places"), [(3.0, 65), (3.2, 65), (3.3, 97)])
def test_shared_grids_have_few_numbers_of_places(half_width, n_places):
    x = even_grid(half_width, 0.1, 32)
    assert len(x) == n_places and x[-1] >= half_width and x[n_places // 2] == 0
    np.testing.assert_allclose(np.diff(x), 0.1)


def test_orbitals_are_compiled_once_for_all_grids_of_one_size_and_all_weights():
    weight, traces = tf.Variable(0.5, dtype=tf.float64), []

    def psi(positions):
        traces.append(positions.shape)
        log_abs = -weight * tf.reduce_sum(positions**2, axis=1)
        return SignedLog(tf.ones_like(log_abs), log_abs)

    vmc = types.SimpleNamespace(ansatz=psi, compilation=Compilation(jit_compile=False, chunk_mebibytes=64))
    orbitals = compiled_orbitals(vmc)
    positions = tf.constant(np.random.default_rng(1).normal(size=(8, 2)))

    def checked(x):
        x = tf.constant(x)
        found = orbitals(positions, tf.repeat(x[tf.newaxis], 8, axis=0))
        n_traces = len(traces)
        np.testing.assert_allclose(found, conditional_orbital(psi, positions, x), rtol=1e-12)
        del traces[n_traces:]
        return n_traces

    n_traces = checked(even_grid(3.0, 0.1))
    weight.assign(1.5)
    assert n_traces > 0 and checked(even_grid(6.0, 0.2)) == n_traces
    assert checked(even_grid(3.0, 0.2)) > n_traces
