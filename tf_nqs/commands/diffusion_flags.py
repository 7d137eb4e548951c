"""The flags that `python -m tf_nqs.diffuse` has of its own."""

from __future__ import annotations

from tf_nqs import defaults
from tf_nqs.commands.flags import Flag, choice_flag

_MOST_WALKERS, _MOST_STEPS = 100_000, 8


def _time_steps(text: str) -> tuple[float, ...]:
    steps = tuple(map(float, text.split(",")))
    in_range = all(defaults.SHORTEST_TIME_STEP <= step <= defaults.LONGEST_TIME_STEP for step in steps)
    if not (2 <= len(set(steps)) == len(steps) <= _MOST_STEPS and in_range):
        raise ValueError(text)
    return tuple(sorted(steps, reverse=True))


def _n_walkers(text: str) -> int:
    number = int(text)
    if not defaults.FEWEST_DIFFUSION_WALKERS <= number <= _MOST_WALKERS:
        raise ValueError(text)
    return number


def diffusion_flags() -> list[Flag]:
    """Returns the flags: n_walkers, time_steps and guide."""
    limits = f"{defaults.SHORTEST_TIME_STEP:g} to {defaults.LONGEST_TIME_STEP:g}"
    steps = f"two to {_MOST_STEPS} different numbers from {limits}, separated by commas"
    walkers = f"an integer from {defaults.FEWEST_DIFFUSION_WALKERS} to {_MOST_WALKERS}"
    n, default = defaults.N_DIFFUSION_WALKERS, ",".join(map(str, defaults.DIFFUSION_TIME_STEPS))
    guides = ("auto", "run", "free_fermions")
    guide = "Guide wave function; auto: the run's if its only nodes are where particles meet, else free fermions."
    return [
        Flag("n_walkers", f"Number of walkers of each time step ({walkers}; default: {n}).", walkers, read=_n_walkers),
        Flag("time_steps", f"Time steps in 1/omega ({steps}; default: {default}).", steps, read=_time_steps),
        choice_flag("guide", guide, guides),
    ]
