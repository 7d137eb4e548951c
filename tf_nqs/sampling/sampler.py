"""Base class of the samplers of |Psi|^2: persistent walkers, the loop of steps, adaptation of the proposal width."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from tf_nqs import defaults
from tf_nqs.execution.row_block import RowBlock
from tf_nqs.sampling.global_moves import global_move, propose
from tf_nqs.sampling.sampling_call import Sample, sampling_call
from tf_nqs.types import LogAbsPsi, Tensor, WalkerState
from tf_nqs.whole_numbers import FEWEST_WALKERS, whole_number

_ADAPTATION_RATE = 0.3
"""Relative change of the width per unit of acceptance off target: forgets a bad start in about ten adaptations."""

_LEAST_LOG_PROBABILITY = -1e30
"""Stands for ln 0."""


class Sampler(abc.ABC):
    """Markov chains that leave |Psi|^2 invariant; walkers persist between calls. A subclass gives the kernel of a step.

    A subclass must define `kernel` only. It may set `takes_noise`, to receive its normal numbers, `takes_gradient =
    False`, which saves one evaluation where the kernel needs no gradient, `default_acceptance` and `name`.

    Every call computes ln|Psi|^2 of the current positions again at its start. A value kept across a change of
    the wave function's parameters would be stale, and a walker whose stale value is too large would never move.

    Args:
        n_walkers: number of independent Markov chains.
        n_steps: steps per sampling call.
        n_burn_in: steps from the start positions, N(0, 1), before the first sample counts.
        proposal_width: standard deviation of the proposed moves at the start, in a_ho.
        target_acceptance: accepted share that the width is adapted towards while training; None for the sampler's
            `default_acceptance`.
        global_moves: whether every sampling call starts with a proposal from anywhere in the trap, see
            `tf_nqs.sampling.global_moves`.
        stuck_steps: steps of a training without a move after which a walker is restarted; 0 for never. Where half of
            all moves are accepted, a walker that accepts none of 500 stands where less than one in a hundred is
            accepted: these moves could never sample such a place.

    Raises:
        ValueError: an argument is out of its range.

    Reference: thesis, Sec. 2.3.2.
    """

    name: ClassVar[str]
    """Value of the setting `sampler` for this kind; by default the name of the class."""

    default_acceptance: ClassVar[float] = 0.5
    """Target acceptance if none is given."""

    takes_noise: ClassVar[bool] = False
    """Whether the kernel is given the normal numbers of its step; else it draws them itself."""

    takes_gradient: ClassVar[bool] = True
    """Whether the kernel needs the gradient of ln|Psi|^2, not its value alone."""

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def __init__(
        self,
        n_walkers: int = defaults.N_WALKERS,
        n_steps: int = defaults.N_STEPS,
        n_burn_in: int = defaults.N_BURN_IN,
        proposal_width: float = defaults.PROPOSAL_WIDTH,
        target_acceptance: float | None = None,
        global_moves: bool = defaults.GLOBAL_MOVES,
        stuck_steps: int = defaults.STUCK_STEPS,
    ):
        if not proposal_width > 0:
            raise ValueError(f"proposal_width = {proposal_width}: must be above 0")
        if target_acceptance is None:
            target_acceptance = self.default_acceptance
        if not 0 < target_acceptance < 1:
            raise ValueError(f"target_acceptance = {target_acceptance}: must be above 0 and below 1")
        self.n_walkers = whole_number("n_walkers", n_walkers, FEWEST_WALKERS)
        self.n_steps = whole_number("n_steps", n_steps, 1)
        self.n_burn_in = whole_number("n_burn_in", n_burn_in)
        self.proposal_width = proposal_width
        self.target_acceptance = target_acceptance
        self.global_moves = global_moves
        self.stuck_steps = whole_number("stuck_steps", stuck_steps)

    @property
    def most_unmoved(self) -> int:
        """Sampling calls of `stuck_steps` steps together; 0 for no bound."""
        return -(-self.stuck_steps // self.n_steps)

    @abc.abstractmethod
    def kernel(
        self, log_probability: LogAbsPsi, proposal_width: Tensor, noise: Tensor | None
    ) -> tfp.mcmc.TransitionKernel:
        """Returns the kernel of one step; its results must have `is_accepted`.

        Args:
            log_probability: callable, (n_walkers, n_particles) -> ln|Psi|^2 (n_walkers,), finite everywhere.
            proposal_width: standard deviation of the proposed moves, a scalar or (n_walkers, 1), in a_ho.
            noise: independent N(0, 1) numbers, shape (n_walkers, n_particles), if the kernel `takes_noise`.
        """

    def initial_state(self, n_particles: int, seed: Tensor, dtype: str = defaults.DTYPE) -> WalkerState:
        """Returns walkers drawn from N(0, 1), before any burn-in.

        Args:
            n_particles: number of particles A.
            seed: stateless key, int32, shape (2,).
            dtype: of the positions.
        """
        seed, draw = tf.unstack(tf.random.split(seed, 2))
        positions = tf.random.stateless_normal((self.n_walkers, n_particles), draw, dtype=dtype)
        return WalkerState(positions, seed, tf.constant(self.proposal_width, dtype))

    def sample(
        self, log_abs_psi: LogAbsPsi, state: WalkerState, n_steps: int | Tensor | None = None
    ) -> tuple[WalkerState, Tensor]:
        """Moves every walker by a global move and n_steps steps, as training does, see `sampling_call`.

        Args:
            log_abs_psi: callable, (n_walkers, n_particles) -> (n_walkers,).
            state: the walkers.
            n_steps: number of steps; None for the sampler's own. Memory grows with it: all moves are drawn first.

        Returns:
            The new state, and the accepted share of the moves that the steps proposed, a scalar.
        """
        return sampling_call(self, lambda: log_abs_psi, state.positions.dtype.name, n_steps)(state)

    def candidates(self, seed: Tensor, n_walkers: int, n_particles: int, dtype: str) -> Tensor | None:
        """Returns what a global move proposes, shape (n_walkers, n_particles); None for a sampler without."""
        return propose(seed, n_walkers, n_particles, dtype) if self.global_moves else None

    def own_candidates(
        self, seed: Tensor, n_walkers: int, n_particles: int, dtype: str, own: RowBlock
    ) -> Tensor | None:
        """Returns some rows of what `candidates` returns, without the work for the others.

        Args:
            seed: as of `candidates`, like those that follow.
            n_walkers: number of all walkers.
            n_particles: number of particles A.
            dtype: "float32" or "float64".
            own: which rows.
        """
        if type(self).candidates is Sampler.candidates and self.global_moves:
            return propose(seed, n_walkers, n_particles, dtype, own)
        candidates = self.candidates(seed, n_walkers, n_particles, dtype)
        return None if candidates is None else own.of(candidates)

    def walk(
        self,
        log_abs_psi: LogAbsPsi,
        state: WalkerState,
        n_steps: int | Tensor,
        noise_of: Callable[[Tensor], Tensor],
        candidates: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Takes the steps of one sampling call, with random moves that the caller has drawn.

        Args:
            log_abs_psi: callable, (n_walkers, n_particles) -> (n_walkers,).
            state: the walkers, and the seed of all other random numbers; the proposal width is a scalar or
                (n_walkers, 1).
            n_steps: number of steps.
            noise_of: index of the step -> the kernel's noise; not called if the kernel draws its own.
            candidates: of a global move before the steps, as `candidates` returns them; None for no global move.

        Returns:
            The new positions (n_walkers, n_particles), and the accepted share of the moves that the steps proposed: a
            scalar, or that of each walker, (n_walkers,), where each has its own width.
        """
        # Traced once, though the kernels call it four times. The gradient of a traced function must not be taken: it
        # hands sizes that XLA has to know from the function to its gradient, so XLA takes all arguments of the function
        # for such sizes, and compiles this walk anew for every seed and width.
        if not self.takes_gradient:
            log_abs_psi = tf.function(log_abs_psi, autograph=False)

        def log_probability(positions: Tensor) -> Tensor:
            return _finite(2 * log_abs_psi(positions))

        def kernel(index: Tensor, log_probability: LogAbsPsi) -> Any:
            noise = noise_of(index) if self.takes_noise else None
            return self.kernel(log_probability, state.proposal_width, noise)

        def step(index: Tensor, positions: Tensor, results: Any, accepted: Tensor) -> tuple[Tensor, Any, Any, Tensor]:
            key = tf.random.experimental.stateless_fold_in(state.seed, index)
            positions, results = kernel(index, log_probability).one_step(positions, results, seed=key)
            is_accepted = tf.cast(results.is_accepted, accepted.dtype)
            now = is_accepted if accepted.shape.rank else tf.reduce_mean(is_accepted)
            return index + 1, positions, results, accepted + now

        positions = state.positions
        at_start: LogAbsPsi = log_probability
        if candidates is not None:
            key = tf.random.experimental.stateless_fold_in(state.seed, -1)
            positions, value = global_move(log_probability, candidates, positions, key)
            at_start = log_probability if self.takes_gradient else lambda _: _finite(value)
        accepted = tf.zeros_like(positions[:, 0]) if state.proposal_width.shape.rank else tf.zeros((), positions.dtype)
        start = (0, positions, kernel(0, at_start).bootstrap_results(positions), accepted)
        index, positions, _, accepted = tf.while_loop(lambda index, *_: index < n_steps, step, start)
        return positions, accepted / tf.cast(tf.maximum(index, 1), accepted.dtype)

    def adapt(self, state: WalkerState, acceptance: Tensor) -> WalkerState:
        """Returns the state with its width moved towards the target acceptance: wider if too much is accepted.

        Args:
            state: the walkers after sampling.
            acceptance: accepted share of that sampling.
        """
        factor = tf.exp(_ADAPTATION_RATE * (acceptance - self.target_acceptance))
        return state._replace(proposal_width=state.proposal_width * factor)

    def burn_in(self, sample: Sample, state: WalkerState) -> WalkerState:
        """Returns the state after n_burn_in steps, the width adapted every n_steps.

        Args:
            sample: this sampler's `sample` for one wave function, compiled or not: state -> (state, acceptance).
            state: the walkers.
        """
        for _ in range(-(-self.n_burn_in // self.n_steps)):
            state = self.adapt(*sample(state))
        return state


def _finite(log_probability: Tensor) -> Tensor:
    """TFP rejects every move away from -inf: a walker that starts on a node would never leave it."""
    least = tf.cast(_LEAST_LOG_PROBABILITY, log_probability.dtype)
    return tf.where(tf.math.is_finite(log_probability), log_probability, least)
