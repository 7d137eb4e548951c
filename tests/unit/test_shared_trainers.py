"""One trainer measures all runs of a shape: it compiles once, and a run's numbers are those of a trainer of its own."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

from tf_nqs.ansatz import JastrowAnsatz
from tf_nqs.config import settings_from
from tf_nqs.config.shape import measured_shape
from tf_nqs.experiment import shared_trainers
from tf_nqs.experiment.build import Run, build_ansatz, build_system, build_trainer
from tf_nqs.experiment.shared_trainers import SharedTrainers
from tf_nqs.measurement import energy as measurement
from tf_nqs.physics import TrappedFermions
from tf_nqs.sampling import make_sampler
from tf_nqs.studies.curve import measure

TINY = {
    "ansatz": "jastrow",
    "n_particles": 2,
    "n_features": 4,
    "n_layers": 1,
    "n_pair_features": 4,
    "n_pair_layers": 1,
    "pair_length": 1.0,
    "n_walkers": 32,
    "n_steps": 2,
    "n_burn_in": 4,
    "jit_compile": False,
}


def run_of(number, **settings):
    """A run whose weights have some values."""
    chosen = settings_from(None, TINY | settings)
    keras.utils.set_random_seed(number)
    run = Run(build_system(chosen), build_ansatz(chosen), chosen)
    rng = np.random.default_rng(number)
    run.ansatz.set_weights([one + 0.1 * rng.normal(size=one.shape) for one in run.ansatz.get_weights()])
    return run


@pytest.fixture
def n_traced(monkeypatch):
    """How often a phase was traced that computes ln|Psi| or the Hamiltonian."""
    count = [0]

    def counting(function):
        @functools.wraps(function)
        def counted(*arguments, **options):
            count[0] += 1
            return function(*arguments, **options)

        return counted

    monkeypatch.setattr(JastrowAnsatz, "call", counting(JastrowAnsatz.call))
    monkeypatch.setattr(TrappedFermions, "local_energy", counting(TrappedFermions.local_energy))
    return count


def measured(vmc, run):
    system = run.system.named._replace(interaction_range=run.system.interaction_range)
    return measure.measure_point(vmc, "run", system, 1e-9, 0.0)


COTH = {"interaction": "coth", "interaction_strength": 1.0}

CALOGERO = {"interaction": "calogero", "interaction_strength": 2.0}

RUNS = [
    {"interaction_strength": 3.0, "interaction_range": 0.9, "trap": "double_well", "trap_separation": 1.5},
    {"interaction_strength": -2.0, "trap": "double_well", "trap_separation": 0.8, "seed": 4},  # sigma0 = 0.5
]


@pytest.mark.slow
def test_two_runs_of_one_shape_compile_once_and_are_measured_as_alone(n_traced, monkeypatch):
    monkeypatch.setattr(measurement, "_FULL_CALLS", 3)
    monkeypatch.setattr(measure, "_KEPT_SAMPLES", 64)
    runs, shared, traced, points = [run_of(n, **one) for n, one in enumerate(RUNS)], SharedTrainers(), [], []
    before = [run.ansatz.get_weights() for run in runs]
    for run in runs:
        n_traced[0] = 0
        points.append(measured(shared.at(run, run.settings), run))
        traced.append(n_traced[0])
    assert traced[0] > 0 and traced[1] == 0
    alone, own_samples = measured(build_trainer(runs[1].settings, runs[1].system, runs[1].ansatz), runs[1])
    assert points[1][0] == alone != points[0][0]
    np.testing.assert_array_equal(points[1][1], own_samples)
    for run, weights in zip(runs, before, strict=True):
        for one, other in zip(run.ansatz.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert runs[0].system.interaction_strength == 3.0 and runs[1].system.interaction_strength == -2.0


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ({"interaction_strength": 1.0}, {"interaction_strength": -7.0}, True),
        ({"interaction_range": 0.4}, {}, True),
        ({"pair_length": None, "interaction_range": 0.4}, {"pair_length": None}, False),  # it is twice the range
        ({"pair_stiffness": 0.2}, {"pair_stiffness": 0.3}, True),
        ({"pair_stiffness": 0.2}, {}, False),
        ({"trap": "quartic", "trap_quartic": 0.2}, {"trap": "quartic"}, True),
        ({"trap": "quartic"}, {"trap": "double_well"}, False),
        ({"interaction": "harmonic", "interaction_strength": 0.5}, {"interaction": "harmonic"}, True),
        (COTH, COTH | {"interaction_strength": 2.0}, True),
        (CALOGERO, CALOGERO | {"interaction_strength": 3.0}, False),  # an exponent of the wave function
        (CALOGERO | {"pair_stiffness": 0.2}, CALOGERO | {"pair_stiffness": 0.4}, True),
        ({"interaction": "soft_coulomb"}, {}, False),
        ({"interaction": "tensorflow:cos"}, {"interaction": "tensorflow:sin"}, False),
        ({"jit_compile": True}, {}, False),
        ({"n_walkers": 64}, {}, False),
        ({"n_particles": 3}, {}, False),
        ({"n_features": 8}, {}, False),
        ({"dtype": "float64"}, {}, False),
        ({"seed": 1, "iterations": 5}, {"learning_rate": 0.1}, True),
    ],
)
def test_what_runs_must_have_in_common(one, other, share):
    shapes = [measured_shape(settings_from(None, TINY | changed)) for changed in (one, other)]
    assert (shapes[0] == shapes[1]) == share


def test_a_short_ranged_interaction_has_a_trainer_of_its_own(monkeypatch):
    """Its measurement has samples of near pairs besides. Trainers themselves are not needed here."""

    class StandIn:
        def __init__(self, settings, system, ansatz):
            self.system, self.ansatz = system, ansatz
            self.sampler = make_sampler(**settings.sampling.model_dump(exclude={"sampling_dtype"}))

        def place_walkers(self, state, burn_in):
            assert burn_in

    monkeypatch.setattr(shared_trainers, "build_trainer", StandIn)
    shared, trainers = SharedTrainers(), []
    for width in (0.003, 0.5, 0.9):
        run = run_of(0, interaction_strength=3.0, interaction_range=width)
        trainers.append(shared.at(run, run.settings))
    assert trainers[0] is not trainers[1] is trainers[2]
