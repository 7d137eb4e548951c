"""The result of a diffusion as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.report import SIGMA
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.analysis.words import REFERENCE_WORDS


def time_steps_table(entries: Mapping[str, Any]) -> str:
    """Returns the energies at all time steps, and at none.

    Args:
        entries: of `diffusion.json`.
    """
    names = ("time_steps", "energies", "energy_errors", "acceptance", "effective_walkers")
    rows = [
        (f"{step:g}", format_with_error(energy, error), f"{100 * acceptance:.1f} %", f"{walkers:.0f}")
        for step, energy, error, acceptance, walkers in zip(*(entries[name] for name in names), strict=True)
    ]
    header = ("Time step (1/ω)", "Energy (ħω)", "Acceptance", "Effective walkers")
    energy = format_with_error(entries["energy"], entries["energy_error"])
    return terminal_table([[*rows, ("0", energy, "", "")]], header)


def diffusion_table(entries: Mapping[str, Any]) -> str:
    """Returns the energy, and what stands beside it.

    Args:
        entries: of `diffusion.json`.
    """
    energy, error = entries["energy"], entries["energy_error"]
    rows = [("Energy", f"{format_with_error(energy, error)} ħω (diffusion)")]
    if entries["reference_energy"] is not None:
        kind = REFERENCE_WORDS.get(entries["reference_kind"], entries["reference_kind"])
        known = format_with_error(entries["reference_energy"], entries["reference_uncertainty"])
        rows.append(("Reference", f"{known} ħω ({kind})"))
    if entries["deviation_in_sigma"] is not None:
        rows.append(("Deviation", f"{entries['deviation_in_sigma']:.2f} {SIGMA}"))
    if entries["run_energy"] is not None:
        above, trained = entries["run_energy"] - energy, entries["run_energy_error"]
        rows.append(("Run's energy", f"{format_with_error(entries['run_energy'], trained)} ħω, {above:+.6f} ħω"))
    rows += _observed(entries)
    guide = entries["guide"].replace("_", " ")
    rows += [
        ("Guide", guide + (f" ({entries['guide_reason']})" if entries["guide_reason"] else "")),
        ("Walkers", f"{entries['n_walkers']} for each time step"),
        ("Seconds", f"{entries['seconds']:.1f}"),
    ]
    return terminal_table([rows], n_left=2)


OBSERVED = {
    "rms_size": ("Rms size", "a_ho"),
    "pair_distance": ("Mean distance of pairs", "a_ho"),
    "trap": ("Trap", "ħω"),
    "interaction": ("Interaction", "ħω"),
}
"""Key of an observable -> how the table calls it, and its unit."""


def _observed(entries: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the rows of what the walkers' descendants say about the ground state."""
    found = entries.get("observables", {})
    return [
        (words, f"{format_with_error(found[key]['forward'], found[key]['forward_error'])} {unit} (forward walking)")
        for key, (words, unit) in OBSERVED.items()
        if key in found and found[key]["forward"] is not None
    ]
