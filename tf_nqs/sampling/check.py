"""Whether an object can be used as a sampler, checked before anything is compiled."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.sampling.sampler import Sampler

_N_TRIED, _N_PARTICLES = 4, 2
"""Walkers and particles for the trial step of a user's kernel."""

_NEEDED = sorted(name for name in vars(SamplerProtocol) if not name.startswith("_"))


def check_sampler(sampler: Any) -> None:
    """Checks that a trainer can use a sampler; None stands for the default sampler.

    A user's kernel is tried for one step.

    Args:
        sampler: see `SamplerProtocol`.

    Raises:
        TypeError: the sampler is a class or a name, lacks attributes, or its kernel breaks the contract of
            `Sampler.kernel`.
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
    """Makes one step for a Gaussian and checks the results."""
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
