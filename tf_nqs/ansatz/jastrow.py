"""The wave function that one dimension asks for: all nodes in one factor, and a positive network."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.ansatz.close_pairs import sum_of_gradient_quotients
from tf_nqs.ansatz.conditioned import ConditionedAnsatz, checked_conditions
from tf_nqs.ansatz.precision import chosen_dtype
from tf_nqs.layers import (
    EquivariantLayer,
    GaussianFactor,
    PairMessages,
    PairNetwork,
    SymmetricHead,
    VandermondeFactor,
)
from tf_nqs.layers.condition_shift import NO_SHIFTS, Shifts, with_shift
from tf_nqs.layers.pair_layout import differences_to_others
from tf_nqs.layers.pair_network import PairJet
from tf_nqs.physics.conditions import ConditionSpace
from tf_nqs.types import Jet, LogDerivatives, Shape, SignedLog, Tensor
from tf_nqs.whole_numbers import whole_number


@keras.saving.register_keras_serializable("tf_nqs")
class JastrowAnsatz(ConditionedAnsatz):
    """Psi(x) = prod_(i<j) (x_i - x_j) exp(J(x) - w^2/2 sum_i x_i^2 - u/A sum_(i<j) (x_i - x_j)^2), J symmetric.

    On a line the ground state of spinless fermions vanishes where two particles meet, and nowhere else. So one product
    holds all nodes, and a positive network does the rest:

    J(x) = sum_(i != j) v . t(x_i - x_j) + sum_i v' . h_i,

    where t are the features of a pair (`PairNetwork`), and h_i come from equivariant layers that are given
    [x_i, sum_(j != i) t(x_i - x_j)]. The heads v and v' start at zero, w at 1 and u at 0: at the start Psi is the
    normalised ground state of free fermions, and needs no pretraining.

    No weight's shape depends on A, and float32 holds for any A. The defaults make 1492 parameters.

    Args:
        n_particles: number of fermions A.
        n_features: number of features H of each particle in the equivariant layers.
        n_layers: number of equivariant layers L.
        n_pair_features: number of tanh features of each pair.
        n_pair_layers: number of layers of the pair network.
        length: unit of the distances in the pair network, in a_ho; about twice the interaction's range is best.
        contact_exponent: l of abs(x_i - x_j)^l sign(x_i - x_j), which replaces x_i - x_j; above 1 for an interaction
            l (l - 1)/r^2.
        conditions: the systems of a family that the wave function is told of; None for a wave function of one system.
            With several numbers of particles n_particles is the largest one.
        **kwargs: arguments of `keras.Model` (name, dtype). The dtype is "float32" or "float64"; without one it is
            float64 where `keras.config.set_floatx` or `set_dtype_policy` says so.

    Call arguments:
        positions: x in a_ho, shape (n_walkers, n_particles).
        interaction_strength: of a family, shape (n_walkers,).
        interaction_range: of a family, shape (n_walkers,), in a_ho.

    Returns:
        SignedLog (sign, log_abs_psi) of shape (n_walkers,).

    Raises:
        ValueError: a number is below 1, length is not positive and finite, contact_exponent is below 1, or the dtype
            is neither float32 nor float64.

    Example:
        >>> ansatz = JastrowAnsatz(n_particles=4)
        >>> ansatz.count_params()
        1492
    """

    def __init__(
        self,
        n_particles: int,
        n_features: int = defaults.N_JASTROW_FEATURES,
        n_layers: int = defaults.N_LAYERS,
        n_pair_features: int = defaults.N_PAIR_FEATURES,
        n_pair_layers: int = defaults.N_PAIR_LAYERS,
        length: float = defaults.PAIR_LENGTH,
        contact_exponent: float = defaults.CONTACT_EXPONENT,
        conditions: ConditionSpace | None = None,
        **kwargs: Any,
    ):
        super().__init__(**{**kwargs, "dtype": chosen_dtype(kwargs.get("dtype"))})
        self.n_particles = whole_number("n_particles", n_particles, 1)
        self.n_features = n_features = whole_number("n_features", n_features, 1)
        self.n_layers = n_layers = whole_number("n_layers", n_layers, 1)
        self.n_pair_features = n_pair_features = whole_number("n_pair_features", n_pair_features, 1)
        self.n_pair_layers = n_pair_layers = whole_number("n_pair_layers", n_pair_layers, 1)
        if not contact_exponent >= 1:
            raise ValueError(f"contact_exponent = {contact_exponent}: must be at least 1")
        self.conditions = checked_conditions(conditions, self.n_particles)
        policy = {"dtype": self.dtype_policy}
        self.vandermonde = VandermondeFactor(contact_exponent, name="vandermonde", **policy)
        self.gaussian = GaussianFactor(name="gaussian", **policy)
        self.pair_network = PairNetwork(n_pair_features, n_pair_layers, length, name="pair_network", **policy)
        self.messages = PairMessages(name="messages", **policy)
        self.particle_layers = [
            EquivariantLayer(n_features, residual=layer > 0, name=f"equivariant_{layer + 1}", **policy)
            for layer in range(n_layers)
        ]
        self.pair_head = SymmetricHead(name="pair_head", **policy)
        self.particle_head = SymmetricHead(name="particle_head", **policy)
        self.build((None, self.n_particles))

    @property
    def contact_exponent(self) -> float:
        """l of abs(x_i - x_j)^l."""
        return self.vandermonde.exponent

    @property
    def length(self) -> float:
        """Unit of the distances in the pair network, in a_ho."""
        return self.pair_network.length

    @property
    def equivariant_layers(self) -> list[keras.layers.Layer]:
        """The layers that make features, which freezing keeps as they are: the pair network and the equivariant ones.

        What is left then are the two heads, w and u: 36 parameters by default.
        """
        return [self.pair_network, *self.particle_layers]

    def start_in_cluster(self, size: float) -> None:
        """Sets u so that Psi, while J is zero, is a cluster: free fermions of this size about their centre of mass.

        Args:
            size: length s in a_ho of the oscillator; w^2/2 + u = 1/(2 s^2).

        Raises:
            ValueError: size is not positive and finite.
        """
        if not 0 < size < math.inf:
            raise ValueError(f"size = {size}: must be positive and finite")
        width = tf.convert_to_tensor(self.gaussian.inverse_width)
        self.gaussian.pair_stiffness.assign(0.5 * (size**-2 - width**2))

    def build(self, input_shape: Shape) -> None:
        self._check_shape(input_shape)
        pairs = (None, self.n_particles, self.n_particles - 1)
        self.vandermonde.build(input_shape)
        self.gaussian.build(input_shape)
        self.pair_network.build(pairs)
        *_, n_pair_outputs = self.pair_network.compute_output_shape(pairs)
        self.messages.build(input_shape, (*input_shape, n_pair_outputs))
        for layer, n_inputs in zip(
            self.particle_layers, [1 + n_pair_outputs] + [self.n_features] * self.n_layers, strict=False
        ):
            layer.build((None, self.n_particles, n_inputs))
        self.pair_head.build((None, self.n_particles, n_pair_outputs))
        self.particle_head.build((None, self.n_particles, self.n_features))
        self._build_conditions()
        self.built = True

    def shift_sizes(self) -> dict[str, int]:
        """Returns layer -> number of shifts that it takes."""
        sizes = {self.pair_network.name: self.n_pair_layers * self.n_pair_features, self.gaussian.name: 2}
        return sizes | {layer.name: self.n_features for layer in self.particle_layers}

    def psi(self, positions: Tensor, shifts: Shifts) -> SignedLog:
        """Returns Psi with shifts."""
        network = self.pair_network
        sums = with_shift(network.sums, differences_to_others(positions), shifts.get(network.name))
        features = self.messages(positions, sums)
        exponent = self.pair_head(sums)
        for layer in self.particle_layers:
            features = with_shift(layer, features, shifts.get(layer.name))
        return self._with_other_factors(positions, exponent + self.particle_head(features), shifts)

    def forward_laplacian(self, positions: Tensor) -> tuple[SignedLog, LogDerivatives]:
        """Returns Psi and its exact derivatives by the positions, carried through every layer in one pass.

        With Psi = V exp(U), l the contact exponent, d_i ln|Psi| = d_i U + l sum_(j != i) 1/(x_i - x_j) and

        (lap Psi)/Psi = lap U + |grad U|^2 + 2 l sum_(i<j) (d_i U - d_j U)/(x_i - x_j) + (lap V)/V.

        For l = 1 no term diverges: the Vandermonde determinant is harmonic, lap V = 0.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).

        Returns:
            SignedLog of shape (n_walkers,), and LogDerivatives: gradient (n_walkers, n_particles), laplacian
            (n_walkers,).
        """
        psi, (gradient, laplacian) = self.regular_derivatives(positions)
        positions = tf.cast(positions, self.compute_dtype)
        singular = self.vandermonde.laplacian(positions)
        return psi, LogDerivatives(gradient, laplacian + singular)

    def regular_derivatives(self, positions: Tensor) -> tuple[SignedLog, LogDerivatives]:
        """Returns the same as `forward_laplacian`, but for (lap V)/V = 2 l (l - 1) sum_(i<j) 1/(x_i - x_j)^2.

        An interaction l (l - 1)/r^2 cancels this part of the kinetic energy exactly: what is left of both is finite
        where two particles meet.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).
        """
        self._check_shape(positions.shape)
        return self.derivatives(positions, NO_SHIFTS)

    def derivatives(self, positions: Tensor, shifts: Shifts) -> tuple[SignedLog, LogDerivatives]:
        """Returns `regular_derivatives` with shifts."""
        positions = tf.cast(positions, self.compute_dtype)  # as Keras does before `call`
        n_particles, network = positions.shape[1], _Network(self, shifts)
        exponent, (gradient, laplacian) = network.derivatives(positions)
        gaussian, quotient = with_shift(self.gaussian.derivatives, positions, shifts.get(self.gaussian.name))
        quotients = n_particles * (n_particles - 1) * quotient  # 2 sum_(i<j) (d_i g - d_j g)/(x_i - x_j)
        if n_particles > 1:
            quotients += sum_of_gradient_quotients(gradient, positions, self.length, network.curvature_along)
        gradient += gaussian.gradient
        laplacian += gaussian.laplacian + tf.reduce_sum(gradient**2, axis=1) + self.vandermonde.exponent * quotients
        whole = gradient + self.vandermonde.gradient(positions)
        return self._with_other_factors(positions, exponent, shifts), LogDerivatives(whole, laplacian)

    def _with_other_factors(self, positions: Tensor, exponent: Tensor, shifts: Shifts) -> SignedLog:
        sign, log_abs = self.vandermonde(positions)
        gaussian = with_shift(self.gaussian, positions, shifts.get(self.gaussian.name))
        return SignedLog(sign, log_abs + (gaussian + exponent))

    def member(
        self, n_particles: int, interaction_strength: float, interaction_range: float, extrapolate: bool = False
    ) -> JastrowAnsatz:
        """Returns the wave function of one system of the family, with shifted biases, w and u.

        Args:
            n_particles: A.
            interaction_strength: of the system.
            interaction_range: of the system, in a_ho.
            extrapolate: whether the system may lie outside of what the family was trained for; any number of
                particles is possible.

        Raises:
            ValueError: the system is outside the family, or this is no family.
        """
        shifts = self._member_shifts(n_particles, interaction_strength, interaction_range, extrapolate)
        config = self.get_config() | {"n_particles": n_particles, "conditions": None, "name": None}
        member = JastrowAnsatz(**config)
        for layer in member.layers:
            layer.set_weights(self.get_layer(layer.name).get_weights())
        for layer in member.particle_layers:
            layer.bias.assign_add(shifts[layer.name][0])
        for bias, shift in zip(
            member.pair_network.biases, tf.split(shifts["pair_network"][0], self.n_pair_layers), strict=True
        ):
            bias.assign_add(shift)
        width, stiffness = tf.unstack(shifts["gaussian"][0])
        member.gaussian.inverse_width.assign_add(width)
        member.gaussian.pair_stiffness.assign_add(stiffness)
        return member

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "n_particles": self.n_particles,
            "n_features": self.n_features,
            "n_layers": self.n_layers,
            "n_pair_features": self.n_pair_features,
            "n_pair_layers": self.n_pair_layers,
            "length": self.length,
            "contact_exponent": self.contact_exponent,
            **self._conditions_config(),
        }


class _Network:
    """The exponent J of the wave function at some shifts, with its derivatives by the positions."""

    def __init__(self, ansatz: JastrowAnsatz, shifts: Shifts):
        self.ansatz, self.shifts = ansatz, shifts

    def derivatives(self, positions: Tensor) -> tuple[Tensor, LogDerivatives]:
        """J, grad J and lap J."""
        return self._through_layers(self.ansatz.messages.forward_laplacian(positions, self._pairs(positions)))

    def curvature_along(self, positions: Tensor, direction: Tensor) -> Tensor:
        """D^2 J along a direction d, with D = sum_i d_i (d/dx_i), shape (n_walkers,)."""
        jet = self.ansatz.messages.derivatives_along(positions, self._pairs(positions), direction)
        return self._through_layers(jet)[1].laplacian

    def _pairs(self, positions: Tensor) -> PairJet:
        network = self.ansatz.pair_network
        return with_shift(network.derivatives, differences_to_others(positions), self.shifts.get(network.name))

    def _through_layers(self, inputs: Jet) -> tuple[Tensor, LogDerivatives]:
        """J and its derivatives, from those of what `PairMessages` returns."""
        by_pairs, pair_derivatives = self.ansatz.pair_head.forward_laplacian(Jet(*(part[..., 1:] for part in inputs)))
        jet = inputs
        for layer in self.ansatz.particle_layers:
            jet = with_shift(layer.forward_laplacian, jet, self.shifts.get(layer.name))
        by_particles, derivatives = self.ansatz.particle_head.forward_laplacian(jet)
        sums = (one + other for one, other in zip(pair_derivatives, derivatives, strict=True))
        return by_pairs + by_particles, LogDerivatives(*sums)
