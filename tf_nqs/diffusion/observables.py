"""What the walkers of a diffusion are asked beside their energy: size, distances, potentials, density."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_nqs.physics.contact import has_finite_parts
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.pairs import pair_indices
from tf_nqs.physics.relations import is_even
from tf_nqs.types import Estimate

_N_PLACES = 80
"""Places of the density."""


class Look(NamedTuple):
    """Means over walkers, as a function of their positions.

    Attributes:
        system: the Hamiltonian.
        edge: the density is counted from -edge to edge, in a_ho.
        is_even: whether the density is averaged with its mirror image.
    """

    system: TrappedFermions
    edge: float
    is_even: bool

    @property
    def x(self) -> np.ndarray:
        """Places of the density, in a_ho, shape (n_places,)."""
        return self.edge * ((2 * np.arange(_N_PLACES) + 1) / _N_PLACES - 1)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the observables before the density: mean of x^2, trap energy, mean distance, interaction energy."""
        has_pairs = ("pair_distance", "interaction") if self.system.n_particles > 1 else ()
        # Of calogero the interaction's variance may be infinite.
        is_finite = has_finite_parts(self.system.contact_exponent)
        return ("mean_square", "trap", *(has_pairs if is_finite else has_pairs[:1]))

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """Returns the observables, then the density at all places, shape (n_names + n_places,).

        Args:
            positions: shape (n_walkers, n_particles), in a_ho.
        """
        positions = np.asarray(positions, np.float64)
        x, n_walkers = tf.constant(positions), len(positions)
        first, second = pair_indices(self.system.n_particles)
        energies = {
            "mean_square": lambda: positions**2,
            "trap": lambda: self.system.trap_energy(x),
            "pair_distance": lambda: np.abs(positions[:, first] - positions[:, second]),
            "interaction": lambda: self.system.interaction_energy(x) + self.system.contact_energy(x),
        }
        means = [float(np.mean(np.asarray(energies[name]()))) for name in self.names]
        spacing = 2 * self.edge / _N_PLACES
        place = np.floor((positions.ravel() + self.edge) / spacing).astype(int)
        counts = np.bincount(place[(place >= 0) & (place < _N_PLACES)], minlength=_N_PLACES).astype(np.float64)
        if self.is_even:
            counts = 0.5 * (counts + counts[::-1])
        return np.concatenate([means, counts / (spacing * n_walkers)])


def look_at(system: TrappedFermions, positions: np.ndarray) -> Look:
    """Returns what is asked of the walkers of a diffusion.

    Args:
        system: the Hamiltonian.
        positions: where the walkers start, shape (n_walkers, n_particles), in a_ho.
    """
    farthest = float(np.max(np.abs(np.asarray(positions))))
    return Look(system, 1.0 + math.ceil(10 * farthest) / 10, is_even(system))


class Observed(NamedTuple):
    """Observables of a diffusion; lengths in a_ho, energies in hbar*omega.

    Attributes:
        rms_size: sqrt(<sum_i x_i^2>/A).
        trap, interaction: parts of the energy; the interaction None where there is none or its variance is infinite.
        pair_distance: mean of |x_i - x_j|; None for one particle.
        density: at `x`.
        x: places, shape (n_places,).
    """

    rms_size: Estimate
    trap: Estimate
    pair_distance: Estimate | None
    interaction: Estimate | None
    density: Estimate
    x: np.ndarray


def observed_by(look: Look, found: Estimate) -> Observed:
    """Returns observables by their names.

    Args:
        look: that was asked.
        found: what came of it, shape (n_names + n_places,).
    """
    parts = {name: Estimate(found.value[k], found.error[k]) for k, name in enumerate(look.names)}
    square = parts.pop("mean_square")
    rms = np.sqrt(square.value)
    density = Estimate(found.value[len(look.names) :], found.error[len(look.names) :])
    return Observed(
        Estimate(rms, square.error / (2 * rms)),
        parts["trap"],
        parts.get("pair_distance"),
        parts.get("interaction"),
        density,
        look.x,
    )
