"""Walkers to start a diffusion from."""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.diffusion.walk import Guide, Population, diffusion_step, start_population
from tf_nqs.types import Tensor

_TIME_STEP, _N_STEPS = 0.05, 200


def metropolis_positions(guide: Guide, positions: Tensor, seed: int = 0, jit_compile: bool = True) -> Tensor:
    """Returns samples of a guide's square: those that other positions become by steps without weights.

    Args:
        guide: the guide.
        positions: where the walkers are at first, shape (n_walkers, n_particles), in a_ho.
        seed: of the random numbers.
        jit_compile: whether XLA compiles the steps.
    """

    @tf.function(jit_compile=jit_compile, autograph=False)
    def walk(positions: Tensor) -> Tensor:
        return metropolis_steps(guide, positions, seed)

    return walk(tf.convert_to_tensor(positions))


def metropolis_steps(guide: Guide, positions: Tensor, seed: int = 0) -> Tensor:
    """Does what `metropolis_positions` does, as a part of a compiled function."""
    time_step = tf.constant(_TIME_STEP, positions.dtype)
    key = tf.constant([seed % 2**31, 1])

    def body(index: Tensor, population: Population) -> tuple[Tensor, Population]:
        step_key = tf.random.experimental.stateless_fold_in(key, index)
        moved, _, _ = diffusion_step(guide, population, time_step, tf.zeros_like(time_step), step_key)
        return index + 1, moved._replace(log_weights=tf.zeros_like(moved.log_weights))

    start = start_population(guide, positions)
    moved: Population = tf.while_loop(lambda index, _: index < _N_STEPS, body, (0, start))[1]
    return moved.positions
