"""The sampling call of walkers that are spread over the replicas of a `tf.distribute` strategy.

Whatever the number of replicas, walkers move by the same random numbers as on one device. What a walk draws itself
comes from the key of its part of the walkers: a replica walks whole parts, for which it draws its own rows of the other
random numbers, or, where there are more replicas than parts, its share of the walkers of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_nqs.execution.chunks import n_parts
from tf_nqs.execution.replicas import everywhere, gathered, n_replicas, replica_number, some_rows
from tf_nqs.execution.row_block import RowBlock
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.sampling.sampling_call import Draw, Parameters, Sample, drawn, joined, walk_of, walked
from tf_nqs.types import LogAbsPsi, Tensor, WalkerState

DrawOf = Callable[[RowBlock], Draw]
"""Draws the random numbers of a block of the walkers."""


def spread_sampling_call(
    sampler: SamplerProtocol,
    current: Callable[..., LogAbsPsi],
    dtype: str,
    compiled: Callable[[Callable], Callable],
    parameters: Parameters,
) -> Sample:
    """Returns the same as `sampling_call`, to be called outside of the replicas of the strategy in scope.

    Args:
        sampler: gives the candidates and the steps.
        current: as in `sampling_call`.
        dtype: floating-point type of the random moves and the steps.
        compiled: compiles a function of tensors.
        parameters: of the walkers' systems.
    """
    n_steps, n_walkers = sampler.n_steps, sampler.n_walkers
    whole_parts = n_parts(n_walkers) % n_replicas() == 0
    walk_own = _parts_of_replica if whole_parts else _shares_of_replica
    own = walk_own(sampler, current, n_steps, compiled)

    @tf.function(autograph=False)  # not what follows: no collective may be called inside of a function of a replica
    def moved_by(walkers: WalkerState, number: Tensor) -> tuple[Tensor, Tensor]:
        return own(lambda rows: drawn(sampler, walkers, dtype, n_steps, parameters, rows), number)

    def in_replica(walkers: WalkerState) -> tuple[WalkerState, Tensor]:
        moved, accepted = gathered(list(moved_by(walkers, replica_number())))
        width = tf.convert_to_tensor(walkers.proposal_width)
        if whole_parts:
            acceptances: Sequence[Tensor] = [accepted] if width.shape.rank else tf.unstack(accepted)
        else:
            acceptances = [accepted] if width.shape.rank else _of_parts(accepted)
        return joined(walkers, moved, acceptances)

    return everywhere(in_replica)


def _parts_of_replica(
    sampler: SamplerProtocol, current: Callable[..., LogAbsPsi], n_steps: int, compiled: Callable[[Callable], Callable]
) -> Callable[[DrawOf, Tensor], tuple[Tensor, Tensor]]:
    """Walks the parts of a replica: (draw of a block of walkers, its number) -> (own positions, own acceptances)."""
    walk = compiled(walk_of(sampler, current, n_steps))
    n, number_of_parts = n_replicas(), n_parts(sampler.n_walkers) // n_replicas()

    def walk_own(draw_of: DrawOf, number: Tensor) -> tuple[Tensor, Tensor]:
        moved, acceptances = walked(walk, draw_of(RowBlock(number, n)), lambda rows: tf.split(rows, number_of_parts))
        return moved, tf.concat(acceptances, axis=0) if acceptances[0].shape.rank else tf.stack(acceptances)

    return walk_own


class _Shares(NamedTuple):
    """How the walkers of the parts are shared out to more replicas than there are parts.

    Attributes:
        of_part: number of shares of a part.
        in_part: number of walkers in a part.
        in_share: number of walkers in a share.
        of_replica: number of shares of a replica.
    """

    of_part: int
    in_part: int
    in_share: int
    of_replica: int


def _shares(n_walkers: int) -> _Shares:
    parts, replicas = n_parts(n_walkers), n_replicas()
    of_part = replicas // math.gcd(parts, replicas)
    return _Shares(of_part, n_walkers // parts, n_walkers // (parts * of_part), parts * of_part // replicas)


def _shares_of_replica(
    sampler: SamplerProtocol, current: Callable[..., LogAbsPsi], n_steps: int, compiled: Callable[[Callable], Callable]
) -> Callable[[DrawOf, Tensor], tuple[Tensor, Tensor]]:
    """Walks shares of parts: (draw of a block, number) -> (own positions, acceptance of each walker)."""
    shares = _shares(sampler.n_walkers)
    walk = compiled(_walk_of_share(sampler, current, n_steps, shares))

    def walk_share(draw_of: DrawOf, share: Tensor) -> tuple[Tensor, Tensor]:
        draw = draw_of(RowBlock(share // shares.of_part, n_parts(sampler.n_walkers)))
        width = draw.proposal_width
        widths = width if width.shape.rank else tf.fill((shares.in_part, 1), width)  # for each walker's own acceptance
        return walk(share % shares.of_part * shares.in_share, draw.positions, draw.seeds[0], widths, *draw.rows)

    def walk_own(draw_of: DrawOf, number: Tensor) -> tuple[Tensor, Tensor]:
        first = number * shares.of_replica
        moved, accepted = zip(*(walk_share(draw_of, first + index) for index in range(shares.of_replica)), strict=True)
        return tf.concat(moved, axis=0), tf.concat(accepted, axis=0)

    return walk_own


def _walk_of_share(
    sampler: SamplerProtocol, current: Callable[..., LogAbsPsi], n_steps: int, shares: _Shares
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Returns the steps of a share: (its first walker, what `walk_of` takes of the part) -> (positions, acceptances).

    All walkers of the part take part in the walk, so that they are given the random numbers that they have on one
    device, but ln|Psi| is computed for the share alone; for the others it is 0.
    """

    def walk(first: Tensor, positions: Tensor, seed: Tensor, width: Tensor, *rows: Tensor) -> tuple[Tensor, Tensor]:
        def of_share(one: Tensor) -> Tensor:
            return some_rows(one, first, shares.in_share)

        index = tf.range(shares.in_part)
        is_own = (index >= first) & (index < first + shares.in_share)

        def current_of_share(*parameters: Tensor) -> LogAbsPsi:
            psi = current(*map(of_share, parameters))

            def log_abs_psi(positions: Tensor) -> Tensor:
                values = tf.tile(psi(of_share(positions)), [shares.of_part])  # shares stand at multiples of their size
                return tf.where(is_own, values, tf.zeros_like(values))

            return log_abs_psi

        moved, accepted = walk_of(sampler, current_of_share, n_steps)(positions, seed, width, *rows)
        if not accepted.shape.rank:
            raise ValueError(
                f"sampler = {type(sampler).__name__}: does not tell the accepted share of each walker, so n_walkers = "
                f"{sampler.n_walkers} must be a multiple of 512 for each of the {n_replicas()} replicas"
            )
        return of_share(moved), of_share(accepted)

    return walk


def _of_parts(accepted: Tensor) -> list[Tensor]:
    """Returns the accepted share of each part of the walkers, from that of each walker."""
    parts = n_parts(accepted.shape[0])
    means = tf.reduce_mean(tf.cast(tf.reshape(accepted, (parts, -1)), tf.float64), axis=1)
    return tf.unstack(tf.cast(means, accepted.dtype))
