"""The iteration in JAX, compiled; the Laplacian from the Hessian or from folx' forward Laplacian.

Usage: python -m benchmarks.peers.jax_peer hessian|folx
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from benchmarks.peers.jax_network import log_abs_psi, potential
from benchmarks.problem import Problem, draw_walkers, draw_weights
from benchmarks.protocol import serve


def by_hessian(value: Callable) -> Callable:
    """Returns positions (A,) -> (Laplacian, gradient) of `value`, from its whole Hessian."""

    def derivatives(position):
        return jnp.trace(jax.hessian(value)(position)), jax.grad(value)(position)

    return derivatives


def by_folx(value: Callable) -> Callable:
    """Returns positions (A,) -> (Laplacian, gradient) of `value`, by folx' forward Laplacian."""
    import folx

    return folx.ForwardLaplacianOperator(0)(value)


class JaxEngine:
    """The phases of an iteration and the whole iteration, each as one compiled function.

    Args:
        problem: the problem.
        dtype: dtype of all arrays.
        n_iterations: number of iterations of "iterations".
        laplacian: `by_hessian` or `by_folx`.
    """

    def __init__(self, problem: Problem, dtype: str, n_iterations: int, laplacian: Callable):
        jax.config.update("jax_enable_x64", dtype == "float64")
        self.versions = {"jax": jax.__version__, "optax": optax.__version__}
        if laplacian is by_folx:
            import importlib.metadata

            self.versions["folx"] = importlib.metadata.version("folx")
        self.n_iterations = n_iterations
        self._problem, self._laplacian = problem, laplacian
        self._optimizer = optax.adam(problem.learning_rate)
        weights = jax.tree.map(jnp.asarray, tuple(draw_weights(problem, envelope_spread=0.1)))
        self._weights = jax.tree.map(lambda array: array.astype(dtype), weights)
        self._state = self._optimizer.init(self._weights)
        self._positions = jnp.asarray(draw_walkers(problem), dtype)
        self._key = jax.random.key(problem.seed)
        self._log_abs_psi = functools.partial(log_abs_psi, problem)
        sample, update, iterate = jax.jit(self._sample), jax.jit(self._update), jax.jit(self._iterate)
        self._energy = jax.jit(self._local_energy)
        energies = self._energy(self._weights, self._positions)
        self.phases = {
            "sampling": lambda: sample(self._weights, self._positions, self._key).block_until_ready(),
            "local_energy": lambda: self._energy(self._weights, self._positions).block_until_ready(),
            "update": lambda: jax.block_until_ready(update(self._weights, self._state, self._positions, energies)),
            "iterations": lambda: self._run(iterate),
        }

    def _sample(self, weights, positions, key):
        def step(index, carry):
            positions, log_density = carry
            move, uniform = jax.random.split(jax.random.fold_in(key, index))
            noise = jax.random.normal(move, positions.shape, positions.dtype)
            proposed = positions + self._problem.proposal_width * noise
            proposed_log_density = 2 * self._log_abs_psi(weights, proposed)
            threshold = jnp.log(jax.random.uniform(uniform, log_density.shape, log_density.dtype))
            accepted = threshold < proposed_log_density - log_density
            positions = jnp.where(accepted[:, None], proposed, positions)
            return positions, jnp.where(accepted, proposed_log_density, log_density)

        start = positions, 2 * self._log_abs_psi(weights, positions)
        return jax.lax.fori_loop(0, self._problem.n_steps, step, start)[0]

    def _local_energy(self, weights, positions):
        derivatives = self._laplacian(lambda position: self._log_abs_psi(weights, position))
        laplacian, gradient = jax.vmap(derivatives)(positions)
        return -0.5 * (laplacian + (gradient**2).sum(-1)) + potential(self._problem, positions)

    def _update(self, weights, state, positions, energies):
        def loss(weights):
            return 2 * jnp.mean((energies - energies.mean()) * self._log_abs_psi(weights, positions))

        changes, state = self._optimizer.update(jax.grad(loss)(weights), state)
        return optax.apply_updates(weights, changes), state

    def _iterate(self, weights, state, positions, key):
        key, draw = jax.random.split(key)
        positions = self._sample(weights, positions, draw)
        weights, state = self._update(weights, state, positions, self._local_energy(weights, positions))
        return weights, state, positions, key

    def _run(self, iterate):
        for _ in range(self.n_iterations):
            self._weights, self._state, self._positions, self._key = iterate(
                self._weights, self._state, self._positions, self._key
            )
        jax.block_until_ready(self._weights)

    def evaluate(self):
        """Returns ln|Psi| and the local energies, both (n_walkers,)."""
        return self._log_abs_psi(self._weights, self._positions), self._energy(self._weights, self._positions)

    def multiply(self, pairs):
        """Returns a callable that forms the products."""
        tensors = {id(array): jnp.asarray(array) for pair in pairs for array in pair}
        factors = [(tensors[id(a)], tensors[id(b)]) for a, b in pairs]
        return lambda: jax.block_until_ready([jnp.matmul(a, b) for a, b in factors])


if __name__ == "__main__":
    serve(functools.partial(JaxEngine, laplacian={"hessian": by_hessian, "folx": by_folx}[sys.argv[1]]))
