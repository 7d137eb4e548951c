"""What a trainer needs of a sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tf_nqs.types import LogAbsPsi, Tensor, WalkerState


class SamplerProtocol(Protocol):
    """What a trainer needs of a sampler.

    A subclass of `Sampler` defines `kernel` only, and inherits the rest.
    """

    @property
    def name(self) -> str:
        """Name of the sampler in the file of a run's walkers."""

    @property
    def n_walkers(self) -> int:
        """Number of independent Markov chains."""

    @property
    def n_steps(self) -> int:
        """Steps per sampling call."""

    @property
    def n_burn_in(self) -> int:
        """Steps before the first sample counts."""

    @property
    def global_moves(self) -> bool:
        """Whether `candidates` proposes a move before the steps."""

    @property
    def takes_noise(self) -> bool:
        """Whether `walk` is given the normal numbers of its steps."""

    @property
    def most_unmoved(self) -> int:
        """Sampling calls without a move after which a walker is restarted; 0 for never."""

    def initial_state(self, n_particles: int, seed: Tensor, dtype: str) -> WalkerState:
        """Returns walkers before any burn-in: positions (n_walkers, n_particles), seed, proposal width."""

    def candidates(self, seed: Tensor, n_walkers: int, n_particles: int, dtype: str) -> Tensor | None:
        """Returns what a global move proposes, shape (n_walkers, n_particles); called where `global_moves` is true."""

    def walk(
        self,
        log_abs_psi: LogAbsPsi,
        state: WalkerState,
        n_steps: int | Tensor,
        noise_of: Callable[[Tensor], Tensor],
        candidates: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Moves walkers by some steps: returns positions (n_walkers, n_particles) and the accepted share, a scalar."""

    def adapt(self, state: WalkerState, acceptance: Tensor) -> WalkerState:
        """Returns the state with another proposal width, after the accepted share of a sampling call."""

    def burn_in(self, sample: Callable[[WalkerState], tuple[WalkerState, Tensor]], state: WalkerState) -> WalkerState:
        """Returns the state after the burn-in; `sample` is one sampling call, state -> (state, accepted share)."""
