"""The whole evaluation of a trainer's wave function: burn-in, its check, measurement, relations of the exact state."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

import keras
import tensorflow as tf

from tf_nqs.analysis.chain_sums import ChainEstimate
from tf_nqs.execution.chunks import phase_of_rows
from tf_nqs.execution.compilation import warm_up
from tf_nqs.measurement.energy import EnergyMeasurement, Observed, measure_energy
from tf_nqs.measurement.equilibrium import Equilibrium, reach_equilibrium
from tf_nqs.measurement.unseen import with_unseen_features
from tf_nqs.measurement.walker_rows import local_energy_of_walkers
from tf_nqs.physics.relations import local_deviations, relation_names
from tf_nqs.sampling.near_pairs import like_samples
from tf_nqs.types import LocalEnergy, Tensor

_SHARE_OF_BURN_IN = 0.5
"""Of the time allowed; the rest is left to the measurement."""


def evaluate_energy(
    vmc: keras.Model,
    target_error: float,
    max_seconds: float,
    relations: bool = True,
    report: Callable[[ChainEstimate], None] | None = None,
) -> EnergyMeasurement:
    """Measures the energy of a compiled trainer's wave function, see `VariationalMonteCarlo.evaluate_energy`."""
    started = time.monotonic()
    equilibrium = settle(vmc, _SHARE_OF_BURN_IN * max_seconds)
    observed = _observed(vmc) if relations else Observed(free_energy=_free_energy(vmc))
    left = max_seconds - (time.monotonic() - started)
    with_near_pairs = vmc.with_near_pairs if vmc.zone else None
    measurement, vmc.walkers = measure_energy(
        vmc.sample, vmc.local_energy, vmc.walkers, target_error, left, observed, report, with_near_pairs
    )
    measurement = with_unseen_features(vmc, measurement)
    return measurement._replace(in_equilibrium=equilibrium.is_reached).without_unknown_errors()


def settle(vmc: keras.Model, max_seconds: float) -> Equilibrium:
    """Brings a trainer's walkers into equilibrium with its wave function, and checks that they are.

    The proposal width stays as training left it; before any training it is adapted first, then frozen.

    Args:
        vmc: a compiled trainer; its walkers are moved.
        max_seconds: no further extension of the burn-in after this time.
    """
    width = tf.identity(vmc.proposal_width)
    vmc.walkers = vmc.sampler.burn_in(vmc.sample, vmc.walkers)
    if int(vmc.iteration) > 0:
        vmc.walkers = vmc.walkers._replace(proposal_width=width)
    n_calls = math.ceil(vmc.sampler.n_burn_in / vmc.sampler.n_steps)
    local_energy = walkers_energy(vmc) if vmc.zone else vmc.local_energy
    equilibrium = reach_equilibrium(vmc.sample, local_energy, vmc.walkers, n_calls, max_seconds)
    vmc.walkers = equilibrium.walkers
    return equilibrium


def walkers_energy(vmc: keras.Model) -> Callable[[Tensor], LocalEnergy]:
    """Returns positions -> local energies, one of each walker, whose means see a short-ranged interaction."""
    numbers = itertools.count()

    def local_energy(positions: Tensor) -> LocalEnergy:
        samples = vmc.with_near_pairs(positions, tf.ones_like(positions[:, 0]), next(numbers))
        return local_energy_of_walkers(vmc.local_energy(samples.positions), samples.weights, positions.shape[0])

    return local_energy


def warm_up_evaluation(vmc: keras.Model) -> None:
    """Traces and compiles everything that an evaluation needs, side by side; changes no state."""
    positions = like_samples(vmc.walkers.positions) if vmc.zone else vmc.walkers.positions
    _, deviations, _ = _observed(vmc)
    assert deviations  # a trainer's own are always there
    warm_up(
        ((vmc.local_energy, (positions,)), (deviations, (positions, positions[:, 0])), (vmc.sample, (vmc.walkers,)))
    )


def _observed(vmc: keras.Model) -> Observed:
    """The relations that hold for the system's ground state; compiled once for all evaluations of a trainer."""
    names = relation_names(vmc.system)
    key = (names, vmc.gradient_numerics)
    if getattr(vmc, "_relations_key", None) != key:
        vmc._relations_phase = phase_of_rows(
            lambda positions, kinetic: local_deviations(vmc.ansatz, vmc.system, names, positions, kinetic),
            *vmc.gradient_numerics,
        )
        vmc._relations_key = key
    return Observed(names, vmc._relations_phase, _free_energy(vmc))


def _free_energy(vmc: keras.Model) -> float | None:
    """A^2/2, that of the same particles without interaction; None without trap, or for these very particles."""
    system = vmc.system
    is_free = system.interaction_strength == 0.0 and system.pair_potential is None
    if system.trap is not True or is_free or system.n_particles == 1:
        return None
    return 0.5 * system.n_particles**2
