"""Glossary of the package: the records that travel between its parts, and the callables they are made by.

Units everywhere: lengths in a_ho = sqrt(hbar / (m omega)), energies in hbar*omega.

The standard error of a mean counts the correlation of its samples along the Markov chains. The uncorrected error takes
all samples for independent, and is too small; files call it `naive`. An error is nan where it cannot be known.

| symbol   | name                   | symbol   | name                                        |
|----------|------------------------|----------|---------------------------------------------|
| A        | `n_particles`          | ln|Psi|  | `log_abs_psi`                               |
| N_w      | `n_walkers`            | sign Psi | `sign`                                      |
| H        | `n_features`           | e_L      | `local_energy`                              |
| L        | `n_layers`             | R        | `weights` (1 for fresh samples)             |
| D        | `n_determinants`       | V_0      | `interaction_strength`                      |
| x        | `positions`            | sigma_0  | `interaction_range`                         |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Tensor = Any
"""A TensorFlow tensor, or anything that converts to one."""

Shape = tuple[Any, ...]
"""Sizes; None where one is not known yet."""

LogAbsPsi = Callable[[Tensor], Tensor]
"""positions (n_walkers, n_particles) -> ln|Psi| (n_walkers,)."""

PositionsToEnergy = Callable[[Tensor], Tensor]
"""A potential: positions (n_walkers, n_particles) -> energy of each walker (n_walkers,), in hbar*omega."""


class SignedLog(NamedTuple):
    """A real number per walker, kept as its sign and the logarithm of its absolute value.

    Attributes:
        sign: -1, 0 or 1, shape (n_walkers,).
        log_abs_psi: ln|Psi|, shape (n_walkers,); -inf where Psi vanishes.
    """

    sign: Tensor
    log_abs_psi: Tensor


class LogDerivatives(NamedTuple):
    """First and second derivatives of the wave function with respect to the positions, divided by it.

    Attributes:
        gradient: d_i ln|Psi|, shape (n_walkers, n_particles), in 1/a_ho.
        laplacian: (lap Psi)/Psi = lap ln|Psi| + |grad ln|Psi||^2, shape (n_walkers,), in 1/a_ho^2. Kept in this form
            because its two terms diverge at a node where their sum need not.
    """

    gradient: Tensor
    laplacian: Tensor


class LocalEnergy(NamedTuple):
    """The parts of the local energy e_L = (H Psi)/Psi, each of shape (n_walkers,), in hbar*omega."""

    kinetic: Tensor
    trap: Tensor
    interaction: Tensor

    @property
    def total(self) -> Tensor:
        """e_L = kinetic + trap + interaction, shape (n_walkers,)."""
        return self.kinetic + self.trap + self.interaction


class WalkerState(NamedTuple):
    """The state of the Markov chains: all that the next sampling call needs.

    Attributes:
        positions: shape (n_walkers, n_particles), in a_ho.
        seed: stateless random key, int32, shape (2,).
        proposal_width: standard deviation of the proposed moves, in a_ho: a scalar, or one for each system of a
            family, shape (n_conditions,).
    """

    positions: Tensor
    seed: Tensor
    proposal_width: Tensor


class Estimate(NamedTuple):
    """A mean of samples, or any other number made of them, or an array of such numbers, with its standard error."""

    value: Any
    error: Any


class EnergyEstimate(NamedTuple):
    """The energy of an iteration, measured on one set of walkers: columns of `metrics.csv`.

    All are scalars, in hbar*omega (the variance in its square).

    Attributes:
        energy: E = sum(R e_L) / sum(R).
        energy_error: standard error of `energy`; the walkers of one iteration are independent of each other.
        variance: sum(R (e_L - E)^2) / sum(R).
        kinetic: weighted mean of the kinetic part.
        trap: weighted mean of the trap part.
        interaction: weighted mean of the interaction part.
        n_non_finite: number of walkers left out because their e_L is not finite.
    """

    energy: Tensor
    energy_error: Tensor
    variance: Tensor
    kinetic: Tensor
    trap: Tensor
    interaction: Tensor
    n_non_finite: Tensor


class Jet(NamedTuple):
    """A layer's output with its derivatives by all n_directions = n_particles coordinates, for the forward Laplacian.

    Attributes:
        value: shape (n_walkers, n_particles, features).
        jacobian: d_k value, shape (n_walkers, n_directions, n_particles, features).
        laplacian: sum_k d_k^2 value, shape of `value`.
    """

    value: Tensor
    jacobian: Tensor
    laplacian: Tensor
