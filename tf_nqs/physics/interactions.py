"""The pair interactions that have a name: functions of the distance r in a_ho, of either sign, in hbar*omega.

| name | v(r) | interaction_strength | interaction_range |
|---|---|---|---|
| gaussian | V_0/(sqrt(2 pi) sigma_0) exp(-r^2/(2 sigma_0^2)) | V_0, in hbar*omega*a_ho | sigma_0, in a_ho |
| harmonic | kappa r^2/2 | kappa, in hbar*omega/a_ho^2 | |
| coth | -Omega c r coth(c r) | c > 0, in 1/a_ho | |
| calogero | l(l-1)/r^2 | l >= 1, a number | |
| soft_coulomb | q/sqrt(r^2 + s^2) | q, in hbar*omega*a_ho | s, in a_ho |
| none | 0 | | |

pair_stiffness = kappa, in hbar*omega/a_ho^2, adds kappa r^2/2 to any of them; Omega = sqrt(1 + A kappa).

Limits: kappa -> 0 and l -> 1 are free fermions. For c -> 0 the coth interaction is the constant -Omega, for large c
the linear potential -Omega c |r|. The soft Coulomb interaction is q/|r| far outside its range.

Reference: thesis, Eq. 2 (Gaussian); Brosens, Devreese and Lemmens, cond-mat/9805379 (harmonic); del Campo,
    arXiv:2005.03904, and Beau and del Campo, arXiv:2107.02869 (coth); Calogero, J. Math. Phys. 12, 419 (1971).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tf_nqs.named_systems import INTERACTIONS, NamedSystem
from tf_nqs.physics.parameters import SystemParameters, parameters_of
from tf_nqs.runtime.imported import imported
from tf_nqs.types import Tensor

PairPotential = Callable[[Tensor], Tensor]
"""Distances in a_ho, of any shape and either sign -> energies in hbar*omega, of the same shape."""

ParametricPotential = Callable[[Tensor, SystemParameters], Tensor]
"""The same, of distances and the parameters of the Hamiltonian."""

_SERIES_BELOW = 0.1
"""Of c r: below it r coth(c r) is a power series, whose first term left out is 2e-18."""

_SERIES = (1.0, 1 / 3, -1 / 45, 2 / 945, -1 / 4725, 2 / 93555)
"""t coth t = sum_k a_k t^(2k)."""


def gaussian_interaction(interaction_strength: float, interaction_range: float) -> PairPotential:
    """Returns the pair potential V_0/(sqrt(2 pi) sigma_0) exp(-r^2/(2 sigma_0^2)) as a function of the distance r.

    Args:
        interaction_strength: V_0 in hbar*omega*a_ho, negative if attractive.
        interaction_range: sigma_0 in a_ho.

    Returns:
        Callable from distances in a_ho to energies in hbar*omega, of the same shape.

    Reference: thesis, Eq. 2.
    """
    parameters = parameters_of(NamedSystem(2, "gaussian", interaction_strength, interaction_range))
    return lambda distances: gaussian(distances, parameters)


def gaussian(distances: Tensor, parameters: SystemParameters) -> Tensor:
    """Returns V_0/(sqrt(2 pi) sigma_0) exp(-r^2/(2 sigma_0^2))."""
    return parameters.height * tf.exp(-0.5 * (distances * parameters.inverse_width) ** 2)


def harmonic(distances: Tensor, parameters: SystemParameters) -> Tensor:
    """Returns kappa r^2/2."""
    return 0.5 * parameters.stiffness * distances**2


def coth(distances: Tensor, parameters: SystemParameters) -> Tensor:
    """Returns the interaction that rises linearly far out, and is smooth at r = 0, where it is -Omega."""
    return -parameters.frequency * t_coth_t(parameters.strength * distances)


def soft_coulomb(distances: Tensor, parameters: SystemParameters) -> Tensor:
    """Returns q/sqrt(r^2 + s^2)."""
    return parameters.strength / tf.sqrt(distances**2 + parameters.width**2)


def t_coth_t(t: Tensor) -> Tensor:
    """Returns t coth(t), to rounding for every t; even, and 1 at t = 0.

    With u = 2|t| it is |t| + u/(exp(u) - 1), written with exp(-u), which does not overflow; near 0, where that is 0/0
    and loses the digits of t^2/3, it is the power series.

    Args:
        t: any shape.
    """
    is_small = tf.abs(t) < _SERIES_BELOW
    square = tf.where(is_small, t, tf.zeros_like(t)) ** 2
    series = tf.zeros_like(t)
    for coefficient in reversed(_SERIES):
        series = series * square + coefficient
    large = tf.where(is_small, tf.ones_like(t), tf.abs(t))
    fraction = -2.0 * large * tf.exp(-2.0 * large) / tf.math.expm1(-2.0 * large)
    return tf.where(is_small, series, large + fraction)


_NAMED: dict[str, ParametricPotential] = {"gaussian": gaussian, "coth": coth, "soft_coulomb": soft_coulomb}
"""The pair potentials without their quadratic part and their pole; the other interactions are these alone."""


def regular_interaction(system: NamedSystem, own: PairPotential | None = None) -> ParametricPotential:
    """Returns the pair potential of a system without the l(l-1)/r^2 of the Calogero interaction, kappa r^2/2 included.

    That term diverges at contact, and is cancelled by the kinetic energy, see `tf_nqs.physics.contact`.

    Args:
        system: names and parameters; of the parameters only whether there is a stiffness counts.
        own: the potential that takes the place of the named one.

    Returns:
        Callable of distances and parameters.
    """
    part = _NAMED.get(system.interaction) if own is None else _without_parameters(own)
    if part is None:
        return harmonic if has_quadratic_part(system) else _without_parameters(tf.zeros_like)
    return (lambda r, parameters: part(r, parameters) + harmonic(r, parameters)) if has_quadratic_part(system) else part


def has_quadratic_part(system: NamedSystem) -> bool:
    """Returns whether there is a kappa r^2/2: a part of compiled functions, unlike the value of kappa."""
    return system.interaction == "harmonic" or system.stiffness != 0


def _without_parameters(potential: PairPotential) -> ParametricPotential:
    return lambda distances, parameters: potential(distances)


def imported_interaction(name: str) -> PairPotential:
    """Returns the pair potential that `module:function` names.

    Args:
        name: a module that can be imported, and a function in it.

    Raises:
        ValueError: there is no such function; one line.
    """
    allowed = f"one of {', '.join(INTERACTIONS)}, or module:function"
    if not all(name.partition(":")[::2]):
        raise ValueError(f"interaction = {name!r}: must be {allowed}")
    found = imported("interaction", name, "module:function")
    if not callable(found):
        raise ValueError(
            f"interaction = {name!r}: is not a function; must be distances (n_walkers, n_pairs) -> energies of that "
            "shape"
        )
    return found
