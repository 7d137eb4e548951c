"""One sampling call: training, evaluation, `Sampler.sample` and the exported model all move walkers by it."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tf_nqs.execution.chunks import in_parts
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.types import LogAbsPsi, Tensor, WalkerState

Sample = Callable[[WalkerState], tuple[WalkerState, Tensor]]
"""One sampling call: state -> (state, accepted share of the moves that the steps proposed, shaped as their width)."""

Adapt = Callable[[WalkerState, Tensor], WalkerState]
"""Adapts the proposal width after a sampling call: (state, acceptance) -> state."""


def sampling_call(
    sampler: SamplerProtocol,
    current: Callable[..., LogAbsPsi],
    dtype: str,
    n_steps: int | Tensor | None = None,
    compiled: Callable[[Callable], Callable] = lambda walk: walk,
    parameters: Callable[[], tuple[Tensor, ...]] = tuple,
) -> Sample:
    """Returns the function that moves every walker by one sampling call.

    A call draws all its random moves first, n_steps * n_walkers * n_particles numbers and the candidates of a global
    move: in a graph, as XLA draws them several times more slowly on a CPU. Then the sampler's `walk` takes its steps,
    for all parts of the walkers at the same time.

    Positions and acceptance keep the dtype of the walkers; the proposal width does not change.

    Args:
        sampler: gives the candidates and the steps.
        current: returns ln|Psi| with its weights as they are, for positions of `dtype`; called once per walk with what
            `parameters` returns of these walkers.
        dtype: floating-point type of the random moves and the steps.
        n_steps: number of steps; None for the sampler's own.
        compiled: compiles a function of tensors, here the walk of one part of the walkers.
        parameters: returns more tensors with one row per walker: what tells the systems of a family apart.
    """
    n_steps = sampler.n_steps if n_steps is None else n_steps
    n_drawn = max(n_steps, 1) if isinstance(n_steps, int) else n_steps  # the walk looks at the first move at its start

    def walk(
        positions: Tensor, seed: Tensor, proposal_width: Tensor, noise: Tensor, *rest: Tensor
    ) -> tuple[Tensor, Tensor]:
        candidates, *rows = rest if sampler.global_moves else (None, *rest)
        state = WalkerState(positions, seed, proposal_width)
        return sampler.walk(current(*rows), state, n_steps, lambda index: noise[:, index], candidates)

    walk = compiled(walk)

    def sample(walkers: WalkerState) -> tuple[WalkerState, Tensor]:
        own, (n_walkers, n_particles) = walkers.positions.dtype, walkers.positions.shape
        n_walkers = tf.shape(walkers.positions)[0] if n_walkers is None else n_walkers
        next_seed, seed, noise_seed, jump_seed = tf.unstack(tf.random.split(walkers.seed, 4))
        shape = (n_walkers, n_drawn, n_particles if sampler.takes_noise else 0)
        noise = in_parts(tf.random.stateless_normal(shape, noise_seed, dtype=dtype))
        positions = in_parts(tf.cast(walkers.positions, dtype))
        seeds = tf.unstack(tf.random.split(seed, len(noise)))
        width = tf.cast(walkers.proposal_width, dtype)
        widths = in_parts(_per_walker(width, n_walkers)) if width.shape.rank else [width] * len(noise)
        rows = [positions, seeds, widths, noise]
        if sampler.global_moves:
            rows.append(in_parts(sampler.candidates(jump_seed, n_walkers, n_particles, dtype)))
        rows += [in_parts(tf.cast(one, dtype)) for one in parameters()]
        moved, acceptances = zip(*(walk(*part) for part in zip(*rows, strict=True)), strict=True)
        positions = tf.cast(tf.concat(moved, axis=0), own)
        if width.shape.rank:
            by_system = tf.reshape(tf.concat(acceptances, axis=0), (width.shape[0], -1))
            acceptance = tf.cast(tf.reduce_mean(by_system, axis=1), own)
        else:
            acceptance = tf.cast(tf.add_n(acceptances) / len(acceptances), own)
        return WalkerState(positions, next_seed, walkers.proposal_width), acceptance

    return sample


def _per_walker(width: Tensor, n_walkers: int) -> Tensor:
    """One width per system as one row per walker, (n_walkers, 1); walkers stand in equal blocks, one per system."""
    repeated = tf.repeat(width, n_walkers // width.shape[0])
    return tf.ensure_shape(repeated, (n_walkers,))[:, None]
