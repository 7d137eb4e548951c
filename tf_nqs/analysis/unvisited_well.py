"""Checks that no simple state has an energy below the measured one."""

from __future__ import annotations

import math
from typing import Any

from tf_nqs.exact import gaussian_cluster

_ERRORS = 4.0
"""Minimum number of standard errors by which the simple state must be lower."""

_SHARE = 1e-4
"""Further minimum distance, as a share of its energy: quadrature, and rounding of float32 energies."""


def unvisited_well(system: dict[str, Any], energy: float, energy_error: float) -> str | None:
    """Returns a message if a simple state has a lower energy than the measured one, else None.

    Such a state shows that training has not converged, most often because no walker has entered a well. It is computed
    from the potentials alone, for any number of particles; see `tf_nqs.exact.cluster`.

    Args:
        system: n_particles, interaction_strength, interaction_range and trap.
        energy: the measured energy, in hbar*omega; without a trap the energy of the internal motion.
        energy_error: its standard error.
    """
    cluster = gaussian_cluster(**system)
    margin = _ERRORS * energy_error + _SHARE * abs(cluster.energy)
    if not math.isfinite(energy) or not energy - cluster.energy > margin:
        return None
    state = f"free fermions in an oscillator of length {cluster.size:.2g} a_ho have {cluster.energy:.6g}"
    found = f"the energy of {energy:.6g} is not the ground state's: {state}"
    attracts = system["interaction_strength"] < 0
    return f"{found}, in a well that the walkers have not found" if attracts and cluster.size < 0.5 else found
