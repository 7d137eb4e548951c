"""What the exact ground state obeys: relations whose deviation shows how far a wave function is from it."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.potentials import in_working_dtype
from tf_nqs.physics.steps import has_steps
from tf_nqs.types import Tensor

_N_TRIED, _TOLERANCE = 64, 1e-5
"""Random positions on which potentials are compared with their mirror images, and how well they must agree."""


def relation_names(system: TrappedFermions) -> tuple[str, ...]:
    """Returns the names of the relations that hold for a system's exact ground state, and can be measured.

    The virial theorem holds the slope of the potentials: it is left out where they have steps.
    """
    names = [] if has_steps(system) else ["virial"]
    if system.trap == "harmonic":
        names += ["centre_of_mass", "centre_of_mass_size"]
    return (*names, "parity") if is_even(system) else tuple(names)


def is_even(system: TrappedFermions) -> bool:
    """Returns whether the potentials are the same at mirror images, so that the ground state has a parity."""
    shape = (_N_TRIED, system.n_particles)
    positions = 2.0 * tf.random.stateless_normal(shape, (0, 0), dtype="float64").numpy()
    here, there = (
        np.asarray(in_working_dtype(lambda x: _potential_energy(system, x), sign * positions), np.float64)
        for sign in (1.0, -1.0)
    )
    with np.errstate(invalid="ignore"):  # infinite at both
        return bool(np.all((here == there) | (np.abs(here - there) <= _TOLERANCE * (1.0 + np.abs(here)))))


def local_deviations(
    psi: keras.Model, system: TrappedFermions, names: tuple[str, ...], positions: Tensor, kinetic: Tensor
) -> Tensor:
    """Returns local values whose means over |Psi|^2 vanish for the exact ground state.

    - virial: 2 T - sum_i x_i dV/dx_i, with V = trap + interaction; for the Gaussian interaction in the harmonic trap
      2 T - 2 V_trap + sum_(i<j) (r^2 / sigma_0^2) v(r).
    - centre_of_mass: (H_cm Psi) / Psi - 1/2, with H_cm = -(sum_i d_i)^2 / (2 A) + A X^2 / 2 and X = sum_i x_i / A.
    - centre_of_mass_size: X^2 - 1 / (2 A).
    - parity: Psi(-x) / Psi(x) - (-1)^(A (A - 1) / 2). Between two neighbours the ground state has no node, so its sign
      is that of the order of the particles, which a mirror turns round.

    For the exact state centre_of_mass and parity are zero on every walker, so that their errors shrink with the
    state's own; the other two are zero on average.

    Args:
        psi: the wave function, positions -> (sign, log_abs_psi).
        system: the Hamiltonian.
        names: those of `relation_names(system)`.
        positions: walkers in a_ho, shape (n_walkers, n_particles).
        kinetic: their local kinetic energies in hbar*omega, shape (n_walkers,).

    Returns:
        Shape (n_walkers, len(names)): virial and centre_of_mass in hbar*omega, the size in a_ho^2.
    """
    n_particles = system.n_particles
    values = {}
    if "virial" in names:
        values["virial"] = 2.0 * kinetic - _positions_times_slope(system, positions)
    if "centre_of_mass" in names:
        square = tf.reduce_mean(positions, axis=1) ** 2
        # Particles at rest in their centre: d^2/dX^2 of Psi moves all of them together.
        kinetic_of_centre = -second_derivative_along_ones(psi, positions) / (2.0 * n_particles)
        values["centre_of_mass"] = kinetic_of_centre + 0.5 * n_particles * square - 0.5
        values["centre_of_mass_size"] = square - 0.5 / n_particles
    if "parity" in names:
        (sign, log_abs), (mirrored_sign, mirrored_log) = psi(positions), psi(-positions)
        exact = (-1.0) ** (n_particles * (n_particles - 1) // 2)
        values["parity"] = sign * mirrored_sign * tf.exp(mirrored_log - log_abs) - exact
    return tf.stack([values[name] for name in names], axis=1) if names else tf.zeros_like(positions[:, :0])


def _potential_energy(system: TrappedFermions, positions: Tensor) -> Tensor:
    return system.trap_energy(positions) + system.interaction_energy(positions)


def _positions_times_slope(system: TrappedFermions, positions: Tensor) -> Tensor:
    """sum_i x_i dV/dx_i; the pairs' part of it is sum_(i<j) r dv/dr."""
    with tf.GradientTape() as tape:
        tape.watch(positions)
        potential = _potential_energy(system, positions)
    slope = tape.gradient(potential, positions, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tf.reduce_sum(positions * slope, axis=1)


def second_derivative_along_ones(psi: keras.Model, positions: Tensor) -> Tensor:
    """Returns (D^2 Psi) / Psi with D = sum_i d_i, shape (n_walkers,): D^2 ln|Psi| + (D ln|Psi|)^2.

    Args:
        psi: the wave function, positions -> (sign, log_abs_psi).
        positions: walkers in a_ho, shape (n_walkers, n_particles).
    """
    with tf.GradientTape() as outer:
        outer.watch(positions)
        with tf.GradientTape() as inner:
            inner.watch(positions)
            log_abs = psi(positions)[1]
        first = tf.reduce_sum(inner.gradient(log_abs, positions), axis=1)
    return tf.reduce_sum(outer.gradient(first, positions), axis=1) + first**2
