"""The whole evaluation of a trainer's wave function: burn-in, its check, measurement, relations of the exact state."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

import tensorflow as tf

from tf_nqs.analysis.statistics import SampledMean
from tf_nqs.execution.compilation import warm_up
from tf_nqs.measurement.energy import EnergyMeasurement, Observed, measure_energy
from tf_nqs.measurement.equilibrium import Equilibrium, reach_equilibrium
from tf_nqs.measurement.unseen import with_unseen_features
from tf_nqs.measurement.walker_rows import local_energy_of_walkers
from tf_nqs.physics.relations import relation_names
from tf_nqs.sampling.near_pairs import like_orbits, like_samples
from tf_nqs.trainer import Trainer
from tf_nqs.types import LocalEnergy, Tensor

_SHARE_OF_BURN_IN = 0.5
"""Of the time allowed; the rest is left to the measurement."""


def evaluate_energy(
    vmc: Trainer,
    target_error: float,
    max_seconds: float,
    relations: bool = True,
    report: Callable[[SampledMean], None] | None = None,
    observed: Observed | None = None,
) -> EnergyMeasurement:
    """Measures the energy of a compiled trainer's wave function, see `VariationalMonteCarlo.evaluate_energy`.

    Args:
        vmc: the trainer; its walkers are moved.
        target_error: as of `measure_energy`.
        max_seconds: of burn-in and measurement.
        relations: whether to measure the relations of the exact state.
        report: as of `measure_energy`.
        observed: measured in the place of these relations.

    Raises:
        ValueError: it is the trainer of a family, or as of `measure_energy`.
    """
    if vmc.condition_record is not None:
        raise ValueError("evaluate_energy: a family has no energy of its own; must be the trainer of one member")
    started = time.monotonic()
    equilibrium = settle(vmc, _SHARE_OF_BURN_IN * max_seconds)
    exponent = vmc.system.contact_exponent
    if observed is None:
        observed = _observed(vmc) if relations else Observed((), None, _free_energy(vmc), exponent)
    left = max_seconds - (time.monotonic() - started)
    with_near_pairs = vmc.with_near_pairs if vmc.zone else None
    sample, local_energy = vmc.phases.sample, vmc.phases.local_energy
    measurement, walkers = measure_energy(
        sample, local_energy, vmc.walkers, target_error, left, observed, report, with_near_pairs
    )
    vmc.place_walkers(walkers)
    measurement = with_unseen_features(vmc, measurement)
    return measurement._replace(in_equilibrium=equilibrium.is_reached).without_unknown_errors()


def settle(vmc: Trainer, max_seconds: float) -> Equilibrium:
    """Brings a trainer's walkers into equilibrium with its wave function, and checks that they are.

    The proposal width stays as training left it; before any training it is adapted first, then frozen.

    Args:
        vmc: a compiled trainer; its walkers are moved.
        max_seconds: no further extension of the burn-in after this time.
    """
    width = tf.identity(vmc.proposal_width)
    walkers = vmc.sampler.burn_in(vmc.phases.sample, vmc.walkers)
    if int(vmc.iteration.numpy()) > 0:
        walkers = walkers._replace(proposal_width=width)
    n_calls = math.ceil(vmc.sampler.n_burn_in / vmc.sampler.n_steps)
    local_energy = walkers_energy(vmc) if vmc.zone else vmc.phases.local_energy
    equilibrium = reach_equilibrium(vmc.phases.sample, local_energy, walkers, n_calls, max_seconds)
    vmc.place_walkers(equilibrium.walkers)
    return equilibrium


def walkers_energy(vmc: Trainer) -> Callable[[Tensor], LocalEnergy]:
    """Returns positions -> local energies, one of each walker, whose means see a short-ranged interaction."""
    numbers = itertools.count()

    def local_energy(positions: Tensor) -> LocalEnergy:
        samples = vmc.with_near_pairs(positions, tf.ones_like(positions[:, 0]), next(numbers))
        return local_energy_of_walkers(vmc.phases.local_energy(samples.positions), samples.weights, positions.shape[0])

    return local_energy


def warm_up_evaluation(vmc: Trainer) -> None:
    """Traces and compiles everything that an evaluation needs, side by side; changes no state."""
    warm_up_measurement(vmc, vmc.phases.relations)


def warm_up_measurement(vmc: Trainer, *observed: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Traces and compiles what a measurement of the energy needs, side by side, before its time begins.

    It changes no state.

    Args:
        vmc: a compiled trainer.
        observed: what is measured besides the energy, functions of (positions, kinetic energies).
    """
    phases, walkers = vmc.phases, vmc.walkers
    positions = like_samples(walkers.positions) if vmc.zone else walkers.positions
    orbits = [(phases.log_abs_psi, (like_orbits(walkers.positions),))] if vmc.zone else []
    more = [(one, (positions, positions[:, 0])) for one in observed]
    warm_up([(phases.local_energy, (positions,)), *more, *orbits, (phases.sample, (walkers,))])


def _observed(vmc: Trainer) -> Observed:
    """The relations that hold for the system's ground state."""
    return Observed(relation_names(vmc.system), vmc.phases.relations, _free_energy(vmc), vmc.system.contact_exponent)


def _free_energy(vmc: Trainer) -> float | None:
    """A^2/2, that of the same particles without interaction; None without trap, or for these very particles."""
    system = vmc.system
    if system.trap != "harmonic" or system.is_free or system.n_particles == 1:
        return None
    return 0.5 * system.n_particles**2
