"""The flags that `python -m tf_nqs.diffuse` has of its own."""

from __future__ import annotations

from tf_nqs.commands.flags import Flag, choice_flag

TIME_STEPS = (0.04, 0.02, 0.01, 0.005)
"""Default, in 1/omega; that of `tf_nqs.diffusion`, whose import takes long."""

N_WALKERS = 512
"""Default."""

_FEWEST_WALKERS, _MOST_WALKERS, _LONGEST_STEP, _MOST_STEPS = 32, 100_000, 1.0, 8


def _time_steps(text: str) -> tuple[float, ...]:
    steps = tuple(map(float, text.split(",")))
    if not (2 <= len(set(steps)) == len(steps) <= _MOST_STEPS and all(1e-5 <= step <= _LONGEST_STEP for step in steps)):
        raise ValueError(text)
    return tuple(sorted(steps, reverse=True))


def _n_walkers(text: str) -> int:
    number = int(text)
    if not _FEWEST_WALKERS <= number <= _MOST_WALKERS:
        raise ValueError(text)
    return number


def diffusion_flags() -> list[Flag]:
    """Returns the flags: n_walkers, time_steps and guide."""
    steps = f"two to {_MOST_STEPS} different numbers from 1e-05 to {_LONGEST_STEP:g}, separated by commas"
    walkers = f"an integer from {_FEWEST_WALKERS} to {_MOST_WALKERS}"
    n, default = N_WALKERS, ",".join(map(str, TIME_STEPS))
    guides = ("auto", "run", "free_fermions")
    guide = "Wave function that guides the walkers; auto is that of the run where it has no nodes but those where"
    return [
        Flag("n_walkers", f"Number of walkers of each time step ({walkers}; default: {n}).", walkers, read=_n_walkers),
        Flag("time_steps", f"Time steps in 1/omega ({steps}; default: {default}).", steps, read=_time_steps),
        choice_flag("guide", f"{guide} particles meet.", guides),
    ]
