"""Weighted estimates of the energy from walkers: one formula for fresh (R = 1) and for reused samples."""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.types import EnergyEstimate, LocalEnergy, Tensor


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Returns sum(R v) / sum(R) over walkers; every mean over walkers goes through here.

    Args:
        values: v, shape (n_walkers, ...).
        weights: R, shape (n_walkers,), not negative; values where R = 0 are not looked at, NaN included.

    Returns:
        Shape of one walker's value.
    """
    weights = tf.reshape(weights, tf.concat([tf.shape(weights), tf.ones(tf.rank(values) - 1, tf.int32)], axis=0))
    counted = tf.where(weights > 0, values, tf.zeros_like(values))
    return tf.reduce_sum(weights * counted, axis=0) / tf.reduce_sum(weights, axis=0)


def mask_non_finite(local_energy: LocalEnergy, weights: Tensor) -> Tensor:
    """Returns the weights with those walkers' set to 0 whose local energy is NaN or infinite, shape (n_walkers,)."""
    return tf.where(tf.math.is_finite(local_energy.total), weights, tf.zeros_like(weights))


def is_potential_infinite(local_energy: LocalEnergy) -> Tensor:
    """Returns where trap or interaction are infinite, but not the kinetic energy, as it is of walkers lost far out."""
    return tf.math.is_finite(local_energy.kinetic) & tf.math.is_inf(local_energy.total)


def estimate_energy(local_energy: LocalEnergy, weights: Tensor) -> EnergyEstimate:
    """Returns energy, its standard error for independent walkers, and the variance of the local energy.

    E = sum(R e_L)/sum(R),  Var = sum(R (e_L - E)^2)/sum(R),  error^2 = Var (sum R^2)/(sum R)^2.

    Walkers with a local energy that is not finite are left out and counted. An infinite potential is no lost sample,
    though: a wave function that does not vanish there has an infinite energy.

    Args:
        local_energy: parts of shape (n_walkers,), in hbar*omega.
        weights: R, shape (n_walkers,).

    Returns:
        EnergyEstimate of scalars.

    Reference: thesis, Eqs. 12, 13, 17, 18.
    """
    masked = mask_non_finite(local_energy, weights)
    energy = weighted_mean(local_energy.total, masked)
    variance = weighted_mean((local_energy.total - energy) ** 2, masked)
    error = tf.sqrt(variance * tf.reduce_sum(masked**2)) / tf.reduce_sum(masked)
    n_non_finite = tf.reduce_sum(tf.cast(~tf.math.is_finite(local_energy.total), energy.dtype))
    kinetic, trap, interaction = (weighted_mean(part, masked) for part in local_energy)
    infinite = is_potential_infinite(local_energy) & (weights > 0)
    potential = tf.where(infinite, local_energy.total, tf.zeros_like(weights))
    energy = tf.where(tf.reduce_any(infinite), tf.reduce_sum(potential), energy)
    return EnergyEstimate(
        energy=energy,
        energy_error=error,
        variance=variance,
        kinetic=kinetic,
        trap=trap,
        interaction=interaction,
        n_non_finite=n_non_finite,
    )


def clip_local_energy(local_energy: Tensor, weights: Tensor, deviations: float | Tensor) -> Tensor:
    """Returns the local energies cut to the median +- `deviations` times their mean absolute deviation from it.

    Only the gradient uses them; reported energies are never clipped. Walkers of weight 0 count neither for the
    median nor for the deviation, and come out finite.

    Args:
        local_energy: e_L, shape (n_walkers,), in hbar*omega.
        weights: R, shape (n_walkers,).
        deviations: half width of the window in mean absolute deviations; 0 for no clipping.

    Returns:
        Shape (n_walkers,).

    Reference: Pfau et al., Phys. Rev. Research 2, 033429 (2020).
    """
    centre = median(local_energy, weights > 0)
    finite = tf.where(weights > 0, local_energy, tf.fill(tf.shape(local_energy), centre))
    if isinstance(deviations, int | float) and not deviations:
        return finite
    width = deviations * weighted_mean(tf.abs(finite - centre), weights)
    return tf.clip_by_value(finite, centre - width, centre + width)


def median(values: Tensor, is_counted: Tensor) -> Tensor:
    """Returns the median of the counted values, the lower one of an even number.

    Args:
        values: shape (n_walkers,); those not counted may be NaN.
        is_counted: booleans, shape (n_walkers,).
    """
    ordered = tf.sort(tf.where(is_counted, values, tf.fill(tf.shape(values), values.dtype.max)))
    n_counted = tf.reduce_sum(tf.cast(is_counted, tf.int32))
    # Not ordered[...]: XLA takes the beginning of a slice for a constant, and compiles again for another is_counted.
    return tf.gather(ordered, tf.maximum(n_counted - 1, 0) // 2)
