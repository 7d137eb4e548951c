"""Observables as a short table for the terminal, exact values beside them."""

from __future__ import annotations

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.exact.observables import ExactObservables
from tf_nqs.observables.measure import Observables
from tf_nqs.types import Estimate

_SCALARS = (
    ("rms_size", "Root-mean-square size", "a_ho"),
    ("kinetic", "Kinetic energy", "ħω"),
    ("trap", "Energy in the trap", "ħω"),
    ("interaction", "Interaction energy", "ħω"),
    ("entropy", "One-body entropy", ""),
)

_LEAST_SHOWN = 1e-3
"""Occupations below this are left to the file and the plot."""


def observables_table(observed: Observables, exact: ExactObservables | None) -> str:
    """Returns a table of name, measured value with the error of its last digits, exact value, deviation in errors.

    Args:
        observed: what was measured.
        exact: those of the exact ground state, or None.
    """
    rows = []
    for name, words, unit in _SCALARS:
        label = f"{words} ({unit})" if unit else words
        rows.append(_row(label, getattr(observed, name), None if exact is None else getattr(exact, name)))
    value, error = observed.occupations
    for index in range(max(1, int((value > _LEAST_SHOWN).sum()))):
        known = None if exact is None else exact.occupations[index]
        rows.append(_row(f"Occupation {index + 1}", Estimate(value[index], error[index]), known))
    spacing = observed.x[1] - observed.x[0]
    rows.append(("Integral of the density", f"{spacing * observed.density.value.sum():.6f}", "", ""))
    rows.append(("Integral of the pair density", f"{spacing**2 * observed.pair_density.value.sum():.6f}", "", ""))
    return terminal_table([rows], ("", "measured", "exact", "deviation"), n_left=4)


def _row(label: str, measured: Estimate, exact: float | None) -> tuple[str, str, str, str]:
    value, error = float(measured.value), float(measured.error)
    text = format_with_error(value, error)
    if exact is None:
        return label, text, "-", ""
    deviation = f"{(value - exact) / error:+.1f} errors" if error > 0 else ""
    return label, text, f"{exact:.6f}", deviation
