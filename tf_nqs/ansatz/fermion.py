"""The antisymmetric neural quantum state."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tf_nqs import defaults
from tf_nqs.ansatz.conditioned import ConditionedAnsatz, checked_conditions
from tf_nqs.ansatz.precision import chosen_dtype
from tf_nqs.layers import EquivariantLayer, LogEnvelope, OrbitalLayer, SlaterDeterminant
from tf_nqs.layers.condition_shift import NO_SHIFTS, Shifts, with_shift
from tf_nqs.physics.conditions import ConditionSpace
from tf_nqs.types import Jet, LogDerivatives, Shape, SignedLog, Tensor
from tf_nqs.whole_numbers import whole_number


@keras.saving.register_keras_serializable("tf_nqs")
class FermionAnsatz(ConditionedAnsatz):
    """Psi(x) = (A!)^(-1/2) sum_d det_ij(M_d,ij(x) e_d,ij(x)): orbitals that depend on all particles, equivariantly.

    For L = 2 and D = 1 it has 4H + 2A + 2H^2 + HA parameters: 8712 for A = 4 and H = 64.

    Args:
        n_particles: number of fermions A.
        n_features: number of features H of each particle in the equivariant layers.
        n_layers: number of equivariant layers L.
        n_determinants: number of determinants D.
        conditions: the systems of a family that the wave function is told of; None for a wave function of one system.
            With several numbers of particles n_particles is the largest one, and a system of A uses the first A
            orbitals.
        **kwargs: arguments of `keras.Model` (name, dtype). The dtype is "float32" or "float64"; without one it is
            float64 where `keras.config.set_floatx` or `set_dtype_policy` says so.

    Call arguments:
        positions: x in a_ho, shape (n_walkers, n_particles).
        interaction_strength: of a family, shape (n_walkers,).
        interaction_range: of a family, shape (n_walkers,), in a_ho.

    Returns:
        SignedLog (sign, log_abs_psi) of shape (n_walkers,).

    Raises:
        ValueError: an argument is below 1, or the dtype is neither float32 nor float64.

    Example:
        >>> ansatz = FermionAnsatz(n_particles=4)
        >>> ansatz.count_params()
        8712

    Reference: thesis, Eqs. 4-11; Keeble et al., Phys. Rev. A 108, 063320 (2023).
    """

    def __init__(
        self,
        n_particles: int,
        n_features: int = defaults.N_FEATURES,
        n_layers: int = defaults.N_LAYERS,
        n_determinants: int = defaults.N_DETERMINANTS,
        conditions: ConditionSpace | None = None,
        **kwargs: Any,
    ):
        super().__init__(**{**kwargs, "dtype": chosen_dtype(kwargs.get("dtype"))})
        self.n_particles = n_particles = whole_number("n_particles", n_particles, 1)
        self.most_particles = n_particles  # of a member: each has orbitals of its own
        self.n_features = n_features = whole_number("n_features", n_features, 1)
        self.n_layers = n_layers = whole_number("n_layers", n_layers, 1)
        self.n_determinants = n_determinants = whole_number("n_determinants", n_determinants, 1)
        self.conditions = checked_conditions(conditions, n_particles)
        policy = {"dtype": self.dtype_policy}
        self.equivariant_layers = [
            EquivariantLayer(n_features, residual=layer > 0, name=f"equivariant_{layer + 1}", **policy)
            for layer in range(n_layers)
        ]
        self.orbital_layer = OrbitalLayer(n_particles, n_determinants, name="orbitals", **policy)
        self.envelope = LogEnvelope(n_particles, n_determinants, name="envelope", **policy)
        self.determinant = SlaterDeterminant(name="determinant", **policy)
        self.build((None, n_particles))

    def build(self, input_shape: Shape) -> None:
        self._check_shape(input_shape)
        for layer, n_inputs in zip(self.equivariant_layers, [1] + [self.n_features] * self.n_layers, strict=False):
            layer.build((None, self.n_particles, n_inputs))
        self.orbital_layer.build((None, self.n_particles, self.n_features))
        self.envelope.build((None, self.n_particles))
        matrices = (None, self.n_determinants, self.n_particles, self.n_particles)
        self.determinant.build(matrices, matrices)
        self._build_conditions()
        self.built = True

    def shift_sizes(self) -> dict[str, int]:
        """Returns layer -> number of shifts that it takes."""
        return {layer.name: self.n_features for layer in self.equivariant_layers}

    def psi(self, positions: Tensor, shifts: Shifts) -> SignedLog:
        """Returns Psi with shifts."""
        return self.determinant(self._orbitals_without_envelope(positions, shifts), self._envelope(positions))

    def orbitals(self, positions: Tensor) -> Tensor:
        """Returns the generalised Slater matrices phi = M * e.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).

        Returns:
            phi, shape (n_walkers, n_determinants, n_particles, n_particles): particles in rows, orbitals in columns.

        Reference: thesis, Eq. 10.
        """
        self._check_shape(positions.shape)
        return self.orbitals_at(positions, NO_SHIFTS)

    def orbitals_at(self, positions: Tensor, shifts: Shifts) -> Tensor:
        """Returns `orbitals` with shifts."""
        return self._orbitals_without_envelope(positions, shifts) * keras.ops.exp(self._envelope(positions))

    def move_orbitals(self, centre: float, reach: float) -> None:
        """Turns the features of x into those of x - centre, and lets the envelopes fall to 1/e at the reach only.

        Args:
            centre: in a_ho.
            reach: in a_ho; envelopes that reach further stay.
        """
        first = self.equivariant_layers[0]
        first.bias.assign(first.bias - centre * tf.reduce_sum(tf.convert_to_tensor(first.kernel), axis=0))
        width = self.envelope.inverse_width
        width.assign(tf.minimum(tf.convert_to_tensor(width), 1 / reach))

    def shrink_orbitals(self, size: float) -> None:
        """Turns the features x w + X u of the first layer, X the centre of mass, into (x - X) w/s + X u.

        Args:
            size: s in a_ho.
        """
        kernel = self.equivariant_layers[0].kernel
        own, shared = tf.unstack(tf.convert_to_tensor(kernel))
        kernel.assign(tf.stack([own / size, shared - own / size]))

    def forward_laplacian(self, positions: Tensor) -> tuple[SignedLog, LogDerivatives]:
        """Returns Psi and its exact derivatives by the positions, carried through every layer in one pass.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).

        Returns:
            SignedLog of shape (n_walkers,), and LogDerivatives: gradient (n_walkers, n_particles), laplacian
            (n_walkers,).

        Reference: Li et al., Nat. Mach. Intell. 6, 209 (2024), arXiv:2307.08214.
        """
        self._check_shape(positions.shape)
        return self.derivatives(positions, NO_SHIFTS)

    def derivatives(self, positions: Tensor, shifts: Shifts) -> tuple[SignedLog, LogDerivatives]:
        """Returns `forward_laplacian` with shifts."""
        positions = tf.cast(positions, self.compute_dtype)  # as Keras does before `call`
        first_layer, *others = self.equivariant_layers
        separable = with_shift(first_layer.forward_laplacian_of_positions, positions, shifts.get(first_layer.name))
        if others:
            jet = with_shift(others[0].forward_laplacian_of_separable, separable, shifts.get(others[0].name))
        else:
            jet = separable.expanded()
        for layer in others[1:]:
            jet = with_shift(layer.forward_laplacian, jet, shifts.get(layer.name))
        orbitals = Jet(*(self._of_system(part, positions) for part in self.orbital_layer.forward_laplacian(jet)))
        first, second = (self._of_system(part, positions) for part in self.envelope.derivatives(positions))
        return self.determinant.forward_laplacian(orbitals, self._envelope(positions), first, second)

    def _envelope(self, positions: Tensor) -> Tensor:
        return self._of_system(self.envelope(positions), positions)

    def _orbitals_without_envelope(self, positions: Tensor, shifts: Shifts) -> Tensor:
        features = positions[:, :, None]
        for layer in self.equivariant_layers:
            features = with_shift(layer, features, shifts.get(layer.name))
        return self._of_system(self.orbital_layer(features), positions)

    def _of_system(self, orbitals: Tensor, positions: Tensor) -> Tensor:
        """The first A of all orbitals, along the last axis."""
        n_particles = positions.shape[1]
        return orbitals if n_particles == self.n_particles else orbitals[..., :n_particles]

    def member(
        self, n_particles: int, interaction_strength: float, interaction_range: float, extrapolate: bool = False
    ) -> FermionAnsatz:
        """Returns the wave function of one system of the family, with shifted biases and the first A orbitals.

        Args:
            n_particles: A.
            interaction_strength: of the system.
            interaction_range: of the system, in a_ho.
            extrapolate: whether the system may lie outside of what the family was trained for, with fewer particles
                too; for more there are no orbitals.

        Raises:
            ValueError: the system is outside the family, or this is no family.
        """
        shifts = self._member_shifts(n_particles, interaction_strength, interaction_range, extrapolate)
        names = ("n_features", "n_layers", "n_determinants")
        member = FermionAnsatz(n_particles, *(getattr(self, name) for name in names), dtype=self.dtype_policy)
        for layer, own in zip(member.equivariant_layers, self.equivariant_layers, strict=True):
            layer.kernel.assign(own.kernel)
            layer.bias.assign(own.bias + shifts[own.name][0])
        for name in ("kernel", "bias"):
            table = tf.convert_to_tensor(getattr(self.orbital_layer, name))
            by_determinant = tf.reshape(table, (-1, self.n_determinants, self.n_particles))[..., :n_particles]
            variable = getattr(member.orbital_layer, name)
            variable.assign(tf.reshape(by_determinant, variable.shape))
        member.envelope.inverse_width.assign(self.envelope.inverse_width[:, :n_particles])
        return member

    def values_from(
        self, source: ConditionedAnsatz, old: keras.Variable, new: keras.Variable
    ) -> tuple[NDArray[Any], int]:
        """Does what `ConditionedAnsatz.values_from` does; of more or fewer orbitals the first ones are copied."""
        assert isinstance(source, FermionAnsatz)
        layers = (source.orbital_layer, source.envelope)
        if source.n_particles == self.n_particles or all(old is not one for layer in layers for one in layer.weights):
            return super().values_from(source, old, new)
        values, n_orbitals = np.array(new.numpy()), min(source.n_particles, self.n_particles)
        given, taken = (  # by determinant and orbital; the second is a view of the values
            array.reshape(-1, self.n_determinants, one.n_particles)[..., :n_orbitals]
            for array, one in ((old.numpy(), source), (values, self))
        )
        taken[...] = given
        return values, given.size

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "n_particles": self.n_particles,
            "n_features": self.n_features,
            "n_layers": self.n_layers,
            "n_determinants": self.n_determinants,
            **self._conditions_config(),
        }
