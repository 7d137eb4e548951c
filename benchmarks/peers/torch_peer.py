"""The iteration in PyTorch, eager; the Laplacian from the Hessian by vmap(jacrev(jacrev)), as in published scripts."""

from __future__ import annotations

import torch
from torch.func import functional_call, jacrev, vmap

from benchmarks.problem import Problem, draw_walkers, draw_weights
from benchmarks.protocol import serve


class Network(torch.nn.Module):
    """ln|Psi| with one determinant.

    Args:
        problem: sizes and initial weights.
        dtype: dtype of the parameters.
    """

    def __init__(self, problem: Problem, dtype: torch.dtype):
        super().__init__()
        weights = draw_weights(problem, envelope_spread=0.1)

        def parameters(arrays):
            return torch.nn.ParameterList(torch.nn.Parameter(torch.tensor(array, dtype=dtype)) for array in arrays)

        self.log_norm = problem.log_norm
        self.equivariant = torch.nn.ModuleList(parameters(layer) for layer in weights.equivariant)
        self.orbitals = parameters(weights.orbitals)
        self.inverse_width = torch.nn.Parameter(torch.tensor(weights.inverse_width, dtype=dtype))

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """Returns ln|Psi|, shape (...,), of positions (..., n_particles)."""
        features = positions[..., None]
        for index, (own, shared, bias) in enumerate(self.equivariant):
            output = torch.tanh(features @ own + features.mean(-2, keepdim=True) @ shared + bias)
            features = output + features if index else output
        kernel, bias = self.orbitals
        log_envelope = -((positions[..., None] * self.inverse_width) ** 2)
        row_maxima = log_envelope.detach().amax(-1, keepdim=True)
        matrices = (features @ kernel + bias) * torch.exp(log_envelope - row_maxima)
        return torch.linalg.slogdet(matrices)[1] + row_maxima.sum((-2, -1)) + self.log_norm


class TorchEngine:
    """The phases of an iteration, written in PyTorch.

    Args:
        problem: the problem.
        dtype: "float32" or "float64".
        n_iterations: iterations of "iterations".
    """

    def __init__(self, problem: Problem, dtype: str, n_iterations: int):
        self.versions = {"torch": torch.__version__}
        self.n_iterations = n_iterations
        self._problem = problem
        self._network = Network(problem, getattr(torch, dtype))
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=problem.learning_rate)
        self._positions = torch.tensor(draw_walkers(problem), dtype=getattr(torch, dtype))
        energies = self._local_energy(self._positions)
        self.phases = {
            "sampling": lambda: self._sample(self._positions),
            "local_energy": lambda: self._local_energy(self._positions),
            "update": lambda: self._update(self._positions, energies),
            "iterations": self._iterate,
        }

    @torch.no_grad()
    def _sample(self, positions):
        log_density = 2 * self._network(positions)
        for _ in range(self._problem.n_steps):
            proposed = positions + self._problem.proposal_width * torch.randn_like(positions)
            proposed_log_density = 2 * self._network(proposed)
            accepted = torch.log(torch.rand_like(log_density)) < proposed_log_density - log_density
            positions = torch.where(accepted[:, None], proposed, positions)
            log_density = torch.where(accepted, proposed_log_density, log_density)
        return positions

    def _local_energy(self, positions):
        parameters = {name: value.detach() for name, value in self._network.named_parameters()}

        def gradient_twice(position):
            gradient = jacrev(lambda x: functional_call(self._network, parameters, (x,)))(position)
            return gradient, gradient

        hessian, gradient = vmap(jacrev(gradient_twice, has_aux=True))(positions)
        kinetic = -0.5 * (torch.einsum("nii->n", hessian) + (gradient**2).sum(1))
        first, second = torch.triu_indices(self._problem.n_particles, self._problem.n_particles, 1)
        distances = (positions[:, first] - positions[:, second]) / self._problem.interaction_range
        interaction = self._problem.interaction_height * torch.exp(-0.5 * distances**2).sum(1)
        return kinetic + 0.5 * (positions**2).sum(1) + interaction

    def _update(self, positions, energies):
        self._optimizer.zero_grad()
        loss = 2 * ((energies - energies.mean()) * self._network(positions)).mean()
        loss.backward()
        self._optimizer.step()

    def _iterate(self):
        for _ in range(self.n_iterations):
            self._positions = self._sample(self._positions)
            self._update(self._positions, self._local_energy(self._positions))

    def evaluate(self):
        """Returns ln|Psi| and the local energies, both (n_walkers,)."""
        return self._network(self._positions).detach().numpy(), self._local_energy(self._positions).numpy()

    def multiply(self, pairs):
        """Returns a callable that forms the products."""
        factors = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in pairs]
        return lambda: [torch.matmul(a, b) for a, b in factors]


if __name__ == "__main__":
    serve(TorchEngine)
