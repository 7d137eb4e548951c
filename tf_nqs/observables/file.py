"""The content of `observables.npz`."""

from __future__ import annotations

import numpy as np

from tf_nqs.exact.observables import ExactObservables
from tf_nqs.observables.measure import Observables
from tf_nqs.observables.pairs import distribution_of_distance, pair_distribution
from tf_nqs.types import Estimate

LEAST_OCCUPATION = 1e-4
"""Smaller ones are left out: how they fall off is beyond the accuracy of a trained wave function."""


def n_occupied(occupations: np.ndarray) -> int:
    """Returns the number of occupations, descending, that the file holds; at least one."""
    return max(1, int(np.count_nonzero(occupations >= LEAST_OCCUPATION)))


def file_entries(observed: Observables, exact: ExactObservables | None) -> dict[str, np.ndarray]:
    """Returns key -> array: each observable, its `_error`, and the exact one as `exact_` where it is known.

    `in_equilibrium` says whether the burn-in ended in equilibrium and the chains have mixed: if not, the errors are too
    small.
    Of occupations and natural orbitals those of at least 1e-4 are kept; `occupations_left_out` is the others' sum.
    """
    kept = n_occupied(observed.occupations.value)
    entries = {"x": observed.x, "r": observed.r, "natural_orbitals": observed.natural_orbitals[:kept]}
    entries["in_equilibrium"] = np.asarray(observed.in_equilibrium)
    for name, measured in observed._asdict().items():
        if isinstance(measured, Estimate):
            entries[name], entries[f"{name}_error"] = measured
    for name, value in (exact._asdict() if exact else {}).items():
        if name != "x":
            entries[f"exact_{name}"] = np.asarray(value)
    for name, value in exact_distributions(observed, exact).items():
        entries[f"exact_{name}"] = value
    for name in ("occupations", "occupations_error", "exact_occupations"):
        if name in entries:
            if not name.endswith("_error"):
                entries[f"{name}_left_out"] = np.sum(entries[name][kept:])
            entries[name] = entries[name][:kept]
    return entries


def exact_distributions(observed: Observables, exact: ExactObservables | None) -> dict[str, np.ndarray]:
    """Returns name -> pair distribution of the exact state, nan where that of the measured one is.

    Args:
        observed: what was measured.
        exact: the exact ground state's, on the same grid, or None: then there are none.
    """
    if exact is None:
        return {}
    known = {
        "pair_distribution": pair_distribution(exact.pair_density, exact.density),
        "distribution_of_distance": distribution_of_distance(exact.pair_density, exact.density),
    }
    return {name: np.where(np.isfinite(getattr(observed, name).value), value, np.nan) for name, value in known.items()}
