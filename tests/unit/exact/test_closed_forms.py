"""Systems that are solved for any number of particles: energies, wave functions and their local energies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.exact import Reference, reference_energy
from tf_nqs.exact.closed_forms import closed_form_energy
from tf_nqs.named_systems import NamedSystem
from tf_nqs.physics.closed_form_states import closed_form_state
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.oscillator import sample_free_fermions

SOLVED = {
    "none": {"interaction": "none"},
    "harmonic": {"interaction": "harmonic", "interaction_strength": 0.7},
    "repulsive": {"interaction": "harmonic", "interaction_strength": 0.01, "pair_stiffness": -0.03},
    "stiffness": {"pair_stiffness": 0.7},
    "coth": {"interaction": "coth", "interaction_strength": 0.6},
    "harmonic and coth": {"interaction": "coth", "interaction_strength": 0.6, "pair_stiffness": 0.7},
    "calogero": {"interaction": "calogero", "interaction_strength": 1.8},
    "calogero and harmonic": {"interaction": "calogero", "interaction_strength": 1.3, "pair_stiffness": 0.2},
}


def walkers(n_particles, n_walkers=6, dtype="float64"):
    """Samples of free fermions, which keep apart as those of the ground state do; the last one's pair is close."""
    x = sample_free_fermions(tf.constant([3, n_particles]), n_walkers, n_particles, "float64").numpy()
    x[-1, 1] = x[-1, 0] + 1e-4
    return tf.constant(x, dtype)


def local_energy(name, n_particles, dtype="float64", n_walkers=6):
    parts = NamedSystem(n_particles, **SOLVED[name])
    psi = closed_form_state(parts)
    system = TrappedFermions(**parts._asdict())
    x = walkers(n_particles, n_walkers, dtype)
    return system.local_energy_of(lambda positions: psi(positions).log_abs_psi, x)


@pytest.mark.parametrize("n_particles", [2, 3, 5, 8, 24])
@pytest.mark.parametrize("name", SOLVED)
def test_the_local_energy_is_the_exact_one_on_every_walker(name, n_particles):
    """One with a pair at 1e-4: there tapes lose eps/r^2 = 2e-8 of each term, a hundred terms in all."""
    energy = local_energy(name, n_particles).total
    exact = closed_form_energy(NamedSystem(n_particles, **SOLVED[name]))
    scale = 1e-11 * n_particles**2
    np.testing.assert_allclose(energy[:-1], exact, rtol=1e-9, atol=scale)
    np.testing.assert_allclose(energy[-1:], exact, rtol=2e-6, atol=2e-6)


def test_float32_keeps_the_digits_that_it_has():
    """Walkers without a close pair; the terms that add up are some tens."""
    for name in ("harmonic and coth", "harmonic"):
        energy = local_energy(name, 5, "float32").total[:-1]
        np.testing.assert_allclose(energy, closed_form_energy(NamedSystem(5, **SOLVED[name])), atol=2e-2)


@pytest.mark.parametrize(
    ("name", "energy"),
    [
        ("harmonic", 81.424965),
        ("calogero", 54.4),
        ("coth", -26.24),
        ("harmonic and coth", -20.748337),
        ("none", 32.0),
        ("stiffness", 81.424965),
    ],
)
def test_energies_of_eight(name, energy):
    """Constants that another program computed."""
    assert closed_form_energy(NamedSystem(8, **SOLVED[name])) == pytest.approx(energy, abs=5e-7)


@pytest.mark.parametrize("n_particles", [1, 2, 7, 64])
def test_limits_are_free_fermions(n_particles):
    """kappa -> 0 and l -> 1; c -> 0 leaves the constant -1 of every pair."""
    free = n_particles**2 / 2
    n_pairs = n_particles * (n_particles - 1) / 2
    assert closed_form_energy(NamedSystem(n_particles, "harmonic", 0.0)) == free
    assert closed_form_energy(NamedSystem(n_particles, "calogero", 1.0)) == free
    assert closed_form_energy(NamedSystem(n_particles, "coth", 1e-9)) == pytest.approx(free - n_pairs, rel=1e-12)
    assert closed_form_energy(NamedSystem(n_particles, "harmonic", 1e-9)) == pytest.approx(free, rel=1e-6)


def test_signs_and_far_walkers():
    """Antisymmetric, and finite where sinh overflows."""
    psi = closed_form_state(NamedSystem(3, "coth", 50.0))
    sign, log_abs = psi(tf.constant([[-1.0, 0.5, 2.0], [0.5, -1.0, 2.0], [-40.0, 0.0, 40.0]]))
    np.testing.assert_array_equal(sign, [-1.0, 1.0, -1.0])
    assert float(log_abs[0]) == pytest.approx(float(log_abs[1]), rel=1e-6) and math.isfinite(log_abs[2])


def test_what_has_no_closed_form():
    for parts in (
        NamedSystem(3, interaction_strength=1.0),
        NamedSystem(3, "soft_coulomb", 1.0),
        NamedSystem(3, "harmonic", 1.0, trap="quartic"),
        NamedSystem(3, "harmonic", 1.0, trap="none"),
    ):
        assert closed_form_energy(parts) is None
        with pytest.raises(ValueError, match="no closed form"):
            closed_form_state(parts)


@pytest.mark.parametrize("name", [name for name in SOLVED if name != "none"])
def test_a_run_has_them_as_its_reference(name):
    """For any number of particles, at once."""
    parts = NamedSystem(40, **SOLVED[name])
    expected = Reference(closed_form_energy(parts), "closed_form", 0.0)
    assert reference_energy(**parts._asdict()) == expected


def test_what_has_no_reference():
    none = Reference(None, "none", None)
    assert reference_energy(3, 1.0, 0.5, pair_stiffness=0.1) == none
    assert reference_energy(3, 1.0, interaction="soft_coulomb") == none
    assert reference_energy(3, 1.0, interaction="harmonic", trap="quartic") == none
    assert reference_energy(2, -20.0, 0.5, trap="double_well") == none
    assert reference_energy(2, interaction="os:sep") == none
    assert reference_energy(3, interaction="none") == Reference(4.5, "free_fermions", 0.0)
    assert reference_energy(2, 10.0) == reference_energy(2, 10.0, 0.5, trap=True)
