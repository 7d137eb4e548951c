"""The network and the potential in JAX, used by the JAX peers and by NetKet."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.problem import Problem


def log_abs_psi(problem: Problem, weights, positions: jax.Array) -> jax.Array:
    """Returns ln|Psi| with one determinant, shape (...,).

    Args:
        problem: sizes.
        weights: (equivariant, orbitals, inverse_width) as `problem.Weights`.
        positions: shape (..., n_particles).
    """
    equivariant, (kernel, bias), inverse_width = weights
    features = positions[..., None]
    for index, (own, shared, layer_bias) in enumerate(equivariant):
        output = jnp.tanh(features @ own + features.mean(-2, keepdims=True) @ shared + layer_bias)
        features = output + features if index else output
    log_envelope = -((positions[..., None] * inverse_width) ** 2)
    row_maxima = jax.lax.stop_gradient(log_envelope.max(-1, keepdims=True))
    matrices = (features @ kernel + bias) * jnp.exp(log_envelope - row_maxima)
    return jnp.linalg.slogdet(matrices)[1] + row_maxima.sum((-2, -1)) + problem.log_norm


def potential(problem: Problem, positions: jax.Array) -> jax.Array:
    """Returns trap and interaction energy, shape (...,), of positions (..., n_particles)."""
    first, second = np.triu_indices(problem.n_particles, 1)
    distances = (positions[..., first] - positions[..., second]) / problem.interaction_range
    interaction = problem.interaction_height * jnp.exp(-0.5 * distances**2).sum(-1)
    return 0.5 * (positions**2).sum(-1) + interaction
