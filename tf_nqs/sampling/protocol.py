"""What a trainer needs of a sampler, and the check that it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import tensorflow as tf

from tf_nqs.sampling.sampler import Sampler
from tf_nqs.types import LogAbsPsi, Tensor, WalkerState

_N_TRIED, _N_PARTICLES = 4, 2
"""Walkers and particles that a kernel of one's own is tried on."""


class SamplerProtocol(Protocol):
    """What a trainer needs of a sampler.

    A subclass of `Sampler` needs to write `kernel` only, and inherits the rest.
    """

    @property
    def name(self) -> str:
        """What the file of a run's walkers says that they were sampled by."""

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


_NEEDED = sorted(name for name in vars(SamplerProtocol) if not name.startswith("_"))


def check_sampler(sampler: Any) -> None:
    """Checks that a trainer can use a sampler; None is the default one.

    The kernel of a `Sampler` that is not of this package is tried for one step.

    Args:
        sampler: see `SamplerProtocol`.

    Raises:
        TypeError: it is a class or a name, attributes are missing, or its kernel does not do what `Sampler.kernel`
            says.
    """
    if sampler is None:
        return
    if isinstance(sampler, str):
        raise TypeError(f"sampler = {sampler!r}: must be a sampler, such as tf_nqs.sampling.make_sampler({sampler!r})")
    if isinstance(sampler, type):
        raise TypeError(f"sampler = {sampler.__name__}: must be a sampler, not its class, such as {sampler.__name__}()")
    missing = [name for name in _NEEDED if not hasattr(sampler, name)]
    if missing:
        raise TypeError(
            f"sampler of type {type(sampler).__name__} has no {', '.join(missing)}: must be a subclass of "
            "tf_nqs.sampling.Sampler, which needs `kernel` only, or have all that SamplerProtocol lists"
        )
    if isinstance(sampler, Sampler) and type(sampler).__module__.partition(".")[0] != "tf_nqs":
        _try_kernel(sampler)


def _try_kernel(sampler: Sampler) -> None:
    """Makes one step for a Gaussian, and looks at what comes back."""
    positions = tf.reshape(tf.range(_N_TRIED * _N_PARTICLES, dtype=tf.float32), (_N_TRIED, _N_PARTICLES)) / _N_TRIED
    noise = tf.ones_like(positions) if sampler.takes_noise else None
    name = f"{type(sampler).__name__}.kernel"
    kernel = sampler.kernel(lambda x: -tf.reduce_sum(x**2, axis=1), tf.constant(sampler.proposal_width), noise)
    if not (hasattr(kernel, "one_step") and hasattr(kernel, "bootstrap_results")):
        raise TypeError(f"{name} returns {type(kernel).__name__}: must return a kernel of TensorFlow Probability")
    moved, results = kernel.one_step(positions, kernel.bootstrap_results(positions), seed=tf.constant([0, 0]))
    if not hasattr(results, "is_accepted"):
        raise TypeError(
            f"{name}: the results of {type(kernel).__name__} have no is_accepted; must be a kernel that accepts or "
            "rejects, such as tfp.mcmc.MetropolisHastings around it"
        )
    shapes = tuple(tf.shape(moved).numpy()), tuple(tf.shape(results.is_accepted).numpy())
    if shapes != (tuple(positions.shape), (_N_TRIED,)):
        raise TypeError(
            f"{name}: after one step of {_N_TRIED} walkers with {_N_PARTICLES} particles the positions have shape "
            f"{shapes[0]} and is_accepted {shapes[1]}; must be {tuple(positions.shape)} and {(_N_TRIED,)}"
        )
