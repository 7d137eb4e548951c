"""Interactions l(l-1)/r^2: what cancels at contact is left out of both parts of the local energy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from tf_nqs.ansatz.derivatives import energy_derivatives
from tf_nqs.commands import observe_run
from tf_nqs.diffusion import ansatz_guide

EXPONENT = 1.3


@pytest.mark.parametrize("laplacian", ["forward", "nested"])
def test_an_untrained_jastrow_ansatz_is_calogeros_ground_state(laplacian):
    """E = A/2 + l A (A - 1)/2 on every walker, next to contact too (Calogero 1971)."""
    system = tf_nqs.TrappedFermions(3, interaction="calogero", interaction_strength=EXPONENT)
    ansatz = tf_nqs.JastrowAnsatz(3, contact_exponent=EXPONENT, dtype="float64")
    positions = np.random.default_rng(0).normal(size=(30, 3))
    positions[0, 1] = positions[0, 0] + (1e-6 if laplacian == "forward" else 1e-3)
    positions = tf.constant(positions)
    energy = system.local_energy(positions, energy_derivatives(ansatz, laplacian, system)(positions)).total
    np.testing.assert_allclose(energy, 1.5 + EXPONENT * 3, rtol=1e-9 if laplacian == "forward" else 1e-6)
    if laplacian == "forward":
        np.testing.assert_allclose(ansatz_guide(ansatz, system)(positions).local_energy, energy)


@pytest.mark.parametrize("exponent", [1.0, 1.3, 1.6])
def test_observe_says_why_parts_have_no_errors(exponent, messages):
    run = SimpleNamespace(vmc=SimpleNamespace(system=SimpleNamespace(contact_exponent=exponent)))
    request = SimpleNamespace(folder=SimpleNamespace(observables="observables.npz"))
    observed = SimpleNamespace(n_samples=7, in_equilibrium=True)
    observe_run.say_written(request, run, observe_run.ObservedRun(observed, None, 0, ""))
    why = "their variance is infinite for l = 1.3, as it is up to 1.5"
    expected = [f"warning: kinetic energy and interaction alone have no error: {why}"] if exponent == 1.3 else []
    assert messages[1:] == expected
