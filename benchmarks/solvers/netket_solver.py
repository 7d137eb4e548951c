"""A training by NetKet's VMC_SR: the same network, Hamiltonian, start weights, walkers and steps."""

from __future__ import annotations

import os
import time

os.environ["NETKET_ENABLE_X64"] = "0"  # everything in float32, as in the other runs

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import optax
from netket.experimental.geometry import FreeSpace
from netket.experimental.hilbert import Particle

from benchmarks.judge import Judge
from benchmarks.peers.jax_network import log_abs_psi, potential
from benchmarks.problem import Problem, draw_weights
from benchmarks.protocol import answer

_GRADIENT_FACTOR = 2.0
"""NetKet's residuals are 2 (e_L - E), those of tf_nqs e_L - E: half the learning rate gives the same step."""

_LEAST_SAMPLINGS = 20


class NetKet:
    """System, wave function and driver.

    Args:
        job: see `solve`.
    """

    def __init__(self, job: dict):
        problem = Problem(**job["problem"])
        hilbert = Particle(N=problem.n_particles, geometry=FreeSpace(d=1))
        kinetic = nk.operator.KineticEnergy(hilbert, mass=1.0, dtype=np.float32)
        energy = nk.operator.PotentialEnergy(hilbert, lambda x: potential(problem, x), dtype=np.float32)
        self.hamiltonian = kinetic + energy
        self._sampler = nk.sampler.MetropolisGaussian(
            hilbert, problem.proposal_width, n_chains=problem.n_walkers, sweep_size=problem.n_steps, dtype=np.float32
        )
        equivariant, orbitals, inverse_width = jax.tree.map(
            lambda array: jnp.asarray(array, np.float32), tuple(draw_weights(problem))
        )
        self._weights = {"equivariant": equivariant, "orbitals": orbitals, "inverse_width": inverse_width}
        self._problem, self._job = problem, job
        self.state = nk.vqs.MCState(
            self._sampler,
            apply_fun=self._apply,
            variables={"params": self._weights},
            n_samples=problem.n_walkers,
            n_discard_per_chain=0,
            sampler_seed=problem.seed,
        )
        self.start()

    def _apply(self, variables, positions):
        weights = variables["params"]
        parts = weights["equivariant"], weights["orbitals"], weights["inverse_width"]
        return log_abs_psi(self._problem, parts, positions)

    def start(self) -> None:
        """Sets the initial weights and a new driver; state and functions, and so compiled code, stay."""
        job = self._job
        self.state.parameters = self._weights
        rate = job["learning_rate"] / _GRADIENT_FACTOR
        schedule = (lambda i: rate / (1 + i / job["decay_iterations"])) if job["decay_iterations"] else rate
        self.driver = nk.driver.VMC_SR(
            self.hamiltonian,
            optax.sgd(schedule),
            diag_shift=job["damping"],
            momentum=job["momentum"] or None,
            variational_state=self.state,
            use_ntk=True,
            on_the_fly=False,
            mode="real",
        )

    def burn_in(self) -> None:
        """Moves the walkers by `n_burn_in` steps."""
        self.state.sample(n_discard_per_chain=self._job["n_burn_in"] // self._problem.n_steps, chain_length=1)
        self.state.reset()

    def measure(self, target_error: float, longest: int = 1000) -> tuple[float, float]:
        """Returns energy and naive error with the current weights, from up to `longest` samplings."""
        energies: list[float] = []
        error = np.inf
        while len(energies) < _LEAST_SAMPLINGS or (error > target_error and len(energies) < longest):
            self.state.reset()
            energies.append(float(self.state.expect(self.hamiltonian).mean.real))
            error = float(np.std(energies) / len(energies) ** 0.5)
        return float(np.mean(energies)), error


def solve(job: dict) -> dict:
    """Trains until the judge ends it.

    Args:
        job: "problem", "learning_rate", "decay_iterations", "damping", "momentum", "n_burn_in", "iterations",
            "criterion", "judge" (arguments of `Judge`).

    Returns:
        The judge's verdict, and the seconds of compilation (a first, discarded iteration), which it does not count.
    """
    started = time.monotonic()
    netket = NetKet(job)
    netket.burn_in()
    netket.driver.run(2, show_progress=False)
    seconds_compile = time.monotonic() - started
    netket.start()
    judge = Judge(**job["judge"], measure=netket.measure if job["criterion"] == "frozen" else None)
    netket.burn_in()

    def watch(step, log_data, driver):
        del step, driver
        return not judge.record([float(np.real(log_data["Energy"].mean))])

    netket.driver.run(job["iterations"], show_progress=False, callback=watch)
    return judge.verdict() | {"seconds_compile": seconds_compile}


if __name__ == "__main__":
    answer(solve)
