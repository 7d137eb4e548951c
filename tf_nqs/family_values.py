"""Which values the parameters of a member of a family may have, and how many features tell a network of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

FEATURES_OF: Final = {"interaction_strength": 2, "interaction_range": 1, "n_particles": 2}
"""Parameter that varies in a family -> how many features tell a network of it, in their order."""

_FURTHER = ", or be asked for with --extrapolate or extrapolate=True"


def value_of_member(
    name: str, value: Any, covered: Sequence[Any], extrapolate: bool = False, most_particles: int | None = None
) -> Any:
    """Returns the value of one parameter of a member of a family.

    Args:
        name: n_particles, interaction_strength or interaction_range.
        value: what is asked for; None for the only value that there is.
        covered: values that the family covers: one, the ends of a range, or some numbers; of n_particles all of them;
            empty for a parameter that the systems do not have.
        extrapolate: whether the value may lie outside of what is covered.
        most_particles: largest n_particles that the wave function can have; None for any.

    Raises:
        ValueError: the value is missing, or not covered, in one line.
    """
    if value is None and len(covered) > 1:
        raise ValueError(f"{name}: must be given; {described(name, covered)}")
    if value is None:
        return covered[0] if covered else None
    if not covered:
        raise ValueError(f"{name} = {value}: was not trained; must be left out")
    is_number = name == "n_particles"
    if value in covered if is_number else min(covered) <= value <= max(covered):
        return value
    if not extrapolate:
        raise ValueError(f"{name} = {value}: was not trained; must be {described(name, covered)}{_FURTHER}")
    if is_number and most_particles is not None and value > most_particles:
        raise ValueError(
            f"{name} = {value}: was not trained; must be at most {most_particles}, the number of trained orbitals"
        )
    return value


def described(name: str, covered: Sequence[Any]) -> str:
    """Returns the values that a family covers, as the end of a sentence that starts with 'must be'."""
    if len(covered) == 1:
        return f"{covered[0]}"
    if name == "n_particles":
        return f"one of {', '.join(map(str, sorted(covered)))}"
    return f"from {min(covered):g} to {max(covered):g}"
