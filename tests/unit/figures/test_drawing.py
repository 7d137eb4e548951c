"""What the axes of the pictures hold."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.figures.stand_ins import REFERENCE
from tf_nqs.studies.figures import load_figures, load_runs
from tf_nqs.studies.figures.drawing import make_picture
from tf_nqs.studies.figures.outcomes import Outcome


@pytest.mark.parametrize(("figure", "is_shown"), [("fig11", True), ("fig3", False)])
def test_spikes_are_within_the_axis_of_the_figure_about_them(figure, is_shown):
    """One energy in 2500 is 5 below the others, one 5 above; the descent from 1000 is outside in any case."""
    definition = load_figures()[figure]
    name = definition.curves[0].run
    done = Outcome(load_runs("laptop", "runs")[name], {"reference_energy": REFERENCE})
    energies = REFERENCE + np.tile([0.1, -0.1], 1250)
    energies[[0, 1000, 2000]] = 1000.0, REFERENCE - 5, REFERENCE + 5
    vars(done)["metrics"] = {"iteration": np.arange(1, 2501), "energy": energies}  # cached, read from no folder
    (panel,) = make_picture(definition, {name: done}, "laptop").axes
    low, high = panel.get_ylim()
    assert (low < REFERENCE - 5, high > REFERENCE + 5) == (is_shown, is_shown) and high < 20
