"""The antisymmetric neural quantum state."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.ansatz.precision import chosen_dtype
from tf_nqs.layers import EquivariantLayer, LogEnvelope, OrbitalLayer, SlaterDeterminant
from tf_nqs.types import LogDerivatives, Shape, SignedLog, Tensor
from tf_nqs.whole_numbers import whole_number


@keras.saving.register_keras_serializable("tf_nqs")
class FermionAnsatz(keras.Model):
    """Psi(x) = (A!)^(-1/2) sum_d det_ij(M_d,ij(x) e_d,ij(x)): orbitals that depend on all particles, equivariantly.

    For L = 2 and D = 1 it has 4H + 2A + 2H^2 + HA parameters: 8712 for A = 4 and H = 64.

    Args:
        n_particles: number of fermions A.
        n_features: number of features H of each particle in the equivariant layers.
        n_layers: number of equivariant layers L.
        n_determinants: number of determinants D.
        **kwargs: arguments of `keras.Model` (name, dtype). The dtype is "float32" or "float64"; without one it is
            float64 where `keras.config.set_floatx` or `set_dtype_policy` says so.

    Call arguments:
        positions: x in a_ho, shape (n_walkers, n_particles).

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
        **kwargs: Any,
    ):
        super().__init__(**{**kwargs, "dtype": chosen_dtype(kwargs.get("dtype"))})
        self.n_particles = n_particles = whole_number("n_particles", n_particles, 1)
        self.n_features = n_features = whole_number("n_features", n_features, 1)
        self.n_layers = n_layers = whole_number("n_layers", n_layers, 1)
        self.n_determinants = n_determinants = whole_number("n_determinants", n_determinants, 1)
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
        self.built = True

    def call(self, positions: Tensor) -> SignedLog:
        self._check_shape(positions.shape)
        return self.determinant(self._orbitals_without_envelope(positions), self.envelope(positions))

    def orbitals(self, positions: Tensor) -> Tensor:
        """Returns the generalised Slater matrices phi = M * e.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).

        Returns:
            phi, shape (n_walkers, n_determinants, n_particles, n_particles): particles in rows, orbitals in columns.

        Reference: thesis, Eq. 10.
        """
        self._check_shape(positions.shape)
        return self._orbitals_without_envelope(positions) * keras.ops.exp(self.envelope(positions))

    def log_abs_psi(self, positions: Tensor) -> Tensor:
        """Returns ln|Psi|, shape (n_walkers,), of positions (n_walkers, n_particles)."""
        return self(positions).log_abs_psi

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
        positions = tf.cast(positions, self.compute_dtype)  # as Keras does before `call`
        first_layer, *others = self.equivariant_layers
        separable = first_layer.forward_laplacian_of_positions(positions)
        jet = others[0].forward_laplacian_of_separable(separable) if others else separable.expanded()
        for layer in others[1:]:
            jet = layer.forward_laplacian(jet)
        first, second = self.envelope.derivatives(positions)
        return self.determinant.forward_laplacian(
            self.orbital_layer.forward_laplacian(jet), self.envelope(positions), first, second
        )

    def _check_shape(self, shape: Shape) -> None:
        if len(shape) != 2 or shape[1] != self.n_particles:
            raise ValueError(f"positions of shape {tuple(shape)}: must be (n_walkers, {self.n_particles})")

    def _orbitals_without_envelope(self, positions: Tensor) -> Tensor:
        features = positions[:, :, None]
        for layer in self.equivariant_layers:
            features = layer(features)
        return self.orbital_layer(features)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "n_particles": self.n_particles,
            "n_features": self.n_features,
            "n_layers": self.n_layers,
            "n_determinants": self.n_determinants,
        }
