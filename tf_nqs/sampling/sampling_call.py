"""One sampling call: training, evaluation, `Sampler.sample` and the exported model all move walkers by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import tensorflow as tf

from tf_nqs.execution.chunks import in_parts, n_parts
from tf_nqs.execution.row_block import RowBlock
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.types import LogAbsPsi, Tensor, WalkerState

Sample = Callable[[WalkerState], tuple[WalkerState, Tensor]]
"""One sampling call: state -> (state, accepted share of the moves that the steps proposed, shaped as their width)."""

Adapt = Callable[[WalkerState, Tensor], WalkerState]
"""Adapts the proposal width after a sampling call: (state, acceptance) -> state."""

Parameters = Callable[[], tuple[Tensor, ...]]
"""Returns tensors with one row per walker: what tells the systems of a family apart."""


class Draw(NamedTuple):
    """What a sampling call needs, of all walkers or of some parts of them.

    Attributes:
        positions: shape (n_walkers, n_particles), in the dtype of the steps.
        seeds: keys of the parts of the walkers, one part after the other, shape (n_parts, 2).
        proposal_width: a scalar, or one per walker, shape (n_walkers, 1).
        rows: noise of all steps, (n_walkers, n_steps, n_particles), candidates of a global move where the sampler makes
            one, and the parameters of the walkers' systems.
    """

    positions: Tensor
    seeds: Tensor
    proposal_width: Tensor
    rows: list[Tensor]


def sampling_call(
    sampler: SamplerProtocol,
    current: Callable[..., LogAbsPsi],
    dtype: str,
    n_steps: int | Tensor | None = None,
    compiled: Callable[[Callable], Callable] = lambda walk: walk,
    parameters: Parameters = tuple,
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
        parameters: of the walkers' systems.
    """
    n_steps = sampler.n_steps if n_steps is None else n_steps
    walk = compiled(walk_of(sampler, current, n_steps))

    def sample(walkers: WalkerState) -> tuple[WalkerState, Tensor]:
        draw = drawn(sampler, walkers, dtype, n_steps, parameters)
        moved, acceptances = walked(walk, draw, in_parts)
        return joined(walkers, moved, acceptances)

    return sample


def _keys(walkers: WalkerState) -> list[Tensor]:
    """Keys of the next call, of what a walk draws itself, of the noise, and of the global moves."""
    return tf.unstack(tf.random.split(walkers.seed, 4))


def walk_of(sampler: SamplerProtocol, current: Callable[..., LogAbsPsi], n_steps: int | Tensor) -> Callable:
    """Returns the steps of one part of the walkers: (positions, seed, width, *rows) -> (positions, acceptance)."""

    def walk(
        positions: Tensor, seed: Tensor, proposal_width: Tensor, noise: Tensor, *rest: Tensor
    ) -> tuple[Tensor, Tensor]:
        candidates, *rows = rest if sampler.global_moves else (None, *rest)
        state = WalkerState(positions, seed, proposal_width)
        return sampler.walk(current(*rows), state, n_steps, lambda index: noise[:, index], candidates)

    return walk


def drawn(
    sampler: SamplerProtocol,
    walkers: WalkerState,
    dtype: str,
    n_steps: int | Tensor,
    parameters: Parameters,
    own: RowBlock | None = None,
) -> Draw:
    """Draws the random numbers of a sampling call, those of all walkers or some of them.

    Args:
        sampler: whose they are.
        walkers: the walkers before it.
        dtype: floating-point type of the steps.
        n_steps: number of steps.
        parameters: of the walkers' systems.
        own: which walkers, those of some parts; None for all.
    """
    some = own.of if own else lambda rows: rows
    n_walkers, n_particles = walkers.positions.shape
    number = 1 if n_walkers is None else n_parts(n_walkers)
    n_walkers = tf.shape(walkers.positions)[0] if n_walkers is None else n_walkers
    _, seed, noise_seed, jump_seed = _keys(walkers)
    n_drawn = max(n_steps, 1) if isinstance(n_steps, int) else n_steps  # the walk looks at the first move at its start
    shape = (n_walkers, n_drawn, n_particles if sampler.takes_noise else 0)
    normal = own.normal if own else tf.random.stateless_normal
    rows = [normal(shape, noise_seed, dtype=dtype)]
    if sampler.global_moves:
        rows.append(_candidates(sampler, own, jump_seed, n_walkers, n_particles, dtype))
    rows += [some(tf.cast(one, dtype)) for one in parameters()]
    width = tf.cast(walkers.proposal_width, dtype)
    return Draw(
        positions=some(tf.cast(walkers.positions, dtype)),
        seeds=some(tf.random.split(seed, number)),
        proposal_width=some(_per_walker(width, n_walkers)) if width.shape.rank else width,
        rows=rows,
    )


def _candidates(sampler: SamplerProtocol, own: RowBlock | None, *arguments: Any) -> Tensor:
    if own is None:
        return sampler.candidates(*arguments)
    if isinstance(sampler, _GivesSomeCandidates):
        return sampler.own_candidates(*arguments, own)
    return own.of(sampler.candidates(*arguments))


@runtime_checkable
class _GivesSomeCandidates(Protocol):
    def own_candidates(self, *arguments: Any) -> Tensor: ...


def walked(walk: Callable, draw: Draw, cut: Callable[[Tensor], list[Tensor]]) -> tuple[Tensor, list[Tensor]]:
    """Walks all parts of the walkers at the same time.

    Args:
        walk: of one part, see `walk_of`, compiled.
        draw: for these walkers.
        cut: cuts one row per walker into as many parts as `draw` has seeds.

    Returns:
        The new positions, and the acceptance of each part, as the walk returns it.
    """
    seeds = tf.unstack(draw.seeds)
    width = draw.proposal_width
    widths = cut(width) if width.shape.rank else [width] * len(seeds)
    parts = [cut(draw.positions), seeds, widths, *map(cut, draw.rows)]
    moved, acceptances = zip(*(walk(*part) for part in zip(*parts, strict=True)), strict=True)
    return tf.concat(moved, axis=0), list(acceptances)


def joined(walkers: WalkerState, moved: Tensor, acceptances: Sequence[Tensor]) -> tuple[WalkerState, Tensor]:
    """Returns what a sampling call returns.

    Args:
        walkers: the walkers before it.
        moved: their new positions, in the dtype of the steps.
        acceptances: of the parts, scalars; where systems have widths of their own, of each walker, (n_in_part,).
    """
    own, width = walkers.positions.dtype, tf.convert_to_tensor(walkers.proposal_width)
    if width.shape.rank:
        by_system = tf.reshape(tf.concat(acceptances, axis=0), (width.shape[0], -1))
        acceptance = tf.cast(tf.reduce_mean(by_system, axis=1), own)
    else:
        acceptance = tf.cast(tf.add_n(acceptances) / len(acceptances), own)
    return WalkerState(tf.cast(moved, own), _keys(walkers)[0], walkers.proposal_width), acceptance


def _per_walker(width: Tensor, n_walkers: int) -> Tensor:
    """One width per system as one row per walker, (n_walkers, 1); walkers stand in equal blocks, one per system."""
    repeated = tf.repeat(width, n_walkers // width.shape[0])
    return tf.ensure_shape(repeated, (n_walkers,))[:, None]
