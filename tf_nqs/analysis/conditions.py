"""The energies of a family's systems over a window of iterations, in which the systems drift."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.analysis.trend import N_BATCHES
from tf_nqs.config.system import SYMBOLS
from tf_nqs.named_systems import WITH_RANGE

PARAMETERS = ("n_particles", "interaction_strength", "interaction_range")
"""Columns that say which system it is."""

CONDITION_COLUMNS = ("iteration", *PARAMETERS, "energy", "energy_error", "variance")
"""Header of conditions.csv; new columns are appended."""

MOST_ROWS = 16
"""Of the table of a family's systems."""

_ROWS_PER_COEFFICIENT = 5
"""Shorter windows are fitted by a constant."""


def system_name(interaction: str, n_particles: float, strength: float, width: float) -> str:
    """Returns how messages name a system of a family: `A = 4, V0 = -19.2, sigma0 = 0.5`.

    Args:
        interaction: of the family, which decides the symbols.
        n_particles: A.
        strength: of the interaction.
        width: its range, in a_ho; left out for an interaction without one.
    """
    parts = [f"A = {round(n_particles)}", f"{SYMBOLS[interaction]} = {strength:.3g}"]
    if interaction in WITH_RANGE:
        parts.append(f"{'sigma0' if interaction == 'gaussian' else 'range'} = {width:.3g}")
    return ", ".join(parts)


def scaled_deviations(energies: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Returns sqrt(variance)/max(abs(energy), 1): how far systems are from their ground states, in comparable numbers.

    It is 0 for an eigenstate, and does not follow the energy where a system drifts. Energies of a family differ by
    orders of magnitude, and so do their deviations; the 1, a quantum of the trap, is for energies near 0.

    Args:
        energies: in hbar*omega.
        variances: of the local energy, of the same shape.
    """
    with np.errstate(invalid="ignore"):  # of a training that diverges
        return np.sqrt(variances) / np.maximum(np.abs(energies), 1.0)


def smoothed_conditions(rows: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Returns the energy of each system at its mean place in a window of iterations.

    The energies of a system that drifts are fitted by a polynomial of second degree in what varies, so that the curve
    of the energies does not shift their mean. The error is that of the fit's value there, with the autocorrelation of
    the residuals.

    Args:
        rows: column -> its values, shape (n_iterations, n_systems): those of `CONDITION_COLUMNS` but for the iteration
            and the error. Energies that are not finite are left out; a range is nan where the interaction has none.

    Returns:
        For each system the columns but for the iteration; None where a number cannot be known. They are ascending in
        the number of particles, then in strength and range.
    """
    n_systems = rows["energy"].shape[1]
    found = [_smoothed({name: values[:, one] for name, values in rows.items()}) for one in range(n_systems)]
    return sorted(found, key=lambda row: tuple(row[name] or 0.0 for name in PARAMETERS))


def _smoothed(rows: dict[str, np.ndarray]) -> dict[str, Any]:
    """One system: its columns of shape (n_iterations,)."""
    finite = np.isfinite(rows["energy"])
    place = {name: float(np.mean(rows[name])) for name in PARAMETERS}
    place |= {"n_particles": round(place["n_particles"])}
    numbers = dict.fromkeys(("energy", "energy_error", "variance"), math.nan)
    if finite.any():
        kept = {name: values[finite] for name, values in rows.items()}
        varied = [kept[name] for name in PARAMETERS[1:]]
        energy, error = _value_at_mean(varied, kept["energy"], list(place.values())[1:])
        numbers = {"energy": energy, "energy_error": error, "variance": float(np.mean(kept["variance"]))}
    return {name: number if math.isfinite(number) else None for name, number in (place | numbers).items()}


def _value_at_mean(places: list[np.ndarray], energies: np.ndarray, means: list[float]) -> tuple[float, float]:
    """The fitted energy at some place, and its error."""
    offsets = [values - mean for values, mean in zip(places, means, strict=True)]
    varied = [offset / scale for offset in offsets if (scale := np.std(offset)) > 1e-12 * (1 + np.max(np.abs(offset)))]
    products = [one * other for one, other in itertools.combinations_with_replacement(varied, 2)]
    terms = np.stack([np.ones_like(energies), *varied, *products], axis=1)
    if len(energies) < _ROWS_PER_COEFFICIENT * terms.shape[1]:
        terms = terms[:, :1]
    coefficients, *_ = np.linalg.lstsq(terms, energies, rcond=None)
    residuals = energies - terms @ coefficients
    lever = len(energies) * np.linalg.pinv(terms.T @ terms)[0, 0]  # 1 for a constant alone
    return float(coefficients[0]), math.sqrt(_mean_square_of_mean(residuals, terms.shape[1]) * lever)


def _mean_square_of_mean(residuals: np.ndarray, n_coefficients: int) -> float:
    """The mean square of the mean of correlated residuals, by the means of ten batches where these hold two at least.

    The effective sample size of `tf_nqs.analysis.statistics` takes ten milliseconds, and there are many systems.
    """
    size = len(residuals) // N_BATCHES
    if size >= 2:
        residuals = residuals[len(residuals) - size * N_BATCHES :].reshape(N_BATCHES, size).mean(axis=1)
    freedom = len(residuals) - n_coefficients
    return float(np.sum(residuals**2) / freedom / len(residuals)) if freedom > 0 else math.nan


def members_table(members: Sequence[Mapping[str, Any]]) -> str:
    """Returns the systems of a family as a table for the terminal, of many only some evenly spaced ones.

    Args:
        members: as `smoothed_conditions` returns them.
    """
    chosen = [members[round(at)] for at in np.linspace(0, len(members) - 1, min(MOST_ROWS, len(members)))]
    rows = [
        (
            f"{one['n_particles']}",
            f"{one['interaction_strength']:.3f}",
            "-" if one["interaction_range"] is None else f"{one['interaction_range']:.3f}",
            "-" if one["energy"] is None else format_with_error(one["energy"], one["energy_error"]),
            "-" if one["variance"] is None else f"{one['variance']:.3g}",
        )
        for one in chosen
    ]
    header = ("A", "Strength", "Range (a_ho)", "Energy (ħω)", "Variance ((ħω)²)")
    return terminal_table([rows], header, n_left=0)
