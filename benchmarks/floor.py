"""The matrix products that an iteration needs: a lower bound of its time.

Left out, so that this is a lower bound: products with a single input feature (the first layer), all element-wise work,
the determinants, random numbers and the optimiser.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.problem import Problem

PHASES = ("sampling", "local_energy", "update")
"""The phases of an iteration: Metropolis steps, local energies, and the energy gradient with Adam's update."""


class Product(NamedTuple):
    """`count` matrix products of shapes (m, k) and (k, n)."""

    count: int
    m: int
    k: int
    n: int

    @property
    def flop(self) -> int:
        """Floating-point operations of all products."""
        return 2 * self.count * self.m * self.k * self.n


def phase_products(problem: Problem) -> dict[str, list[Product]]:
    """Returns the products of each phase.

    * sampling: the value of the network at the start and after each step;
    * local_energy: value, Laplacian and A first derivatives of the forward Laplacian;
    * update: forward, and backward to inputs and to weights, three times the value's.
    """
    value = _value(problem)
    n_derivatives = problem.n_particles + 2
    backward = [Product(1, p.m, p.n, p.k) for p in value] + [Product(1, p.k, p.m, p.n) for p in value]
    return {
        "sampling": [p._replace(count=problem.n_steps + 1) for p in value],
        "local_energy": [p._replace(m=n_derivatives * p.m) for p in value],
        "update": value + backward,
    }


def _value(problem: Problem) -> list[Product]:
    """Returns the products of one evaluation of the network: per particle, and per walker for the mean."""
    n_walkers, n_features = problem.n_walkers, problem.n_features
    n_rows = n_walkers * problem.n_particles
    hidden = [Product(1, n_rows, n_features, n_features), Product(1, n_walkers, n_features, n_features)]
    return hidden * (problem.n_layers - 1) + [Product(1, n_rows, n_features, problem.n_particles)]
