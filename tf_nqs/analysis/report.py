"""The result of a run as a table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tf_nqs.analysis.notation import format_with_error, round_to_error
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.analysis.verdict import verdict_text
from tf_nqs.analysis.words import REFERENCE_WORDS, STOP_WORDS

__all__ = ["format_with_error", "result_table"]

UNKNOWN = "-"

SIGMA = "\N{GREEK SMALL LETTER SIGMA}"


def result_table(
    result: Mapping[str, Any], *, styled: bool | None = None, ascii_only: bool | None = None, width: int | None = None
) -> str:
    """Returns the result of a run as an aligned table, lines joined by newlines.

    Args:
        result: content of `result.json`, energies in hbar*omega, times in seconds: energy, energy_error,
            energy_error_naive, variance, kinetic, trap, interaction, acceptance, r_hat, effective_samples,
            reference_energy, reference_kind, reference_uncertainty, deviation_in_sigma, n_parameters,
            n_trainable_parameters, n_iterations, n_samplings, stop_reason, seconds_total, seconds_training,
            seconds_compile, seed, versions; n_repairs, n_restarted, n_rejected, non_finite_share,
            non_finite_share_training, shown only if above zero; converged and not_converged_because, and
            diffusion_energy and diffusion_energy_error, shown if present.
            A value that is missing, None or nan is shown as "-"; other keys are ignored. With `members` it is the
            result of a family: only the rows of the run are shown.
        styled: whether to write terminal escapes (bold, dim); None: if stdout is a terminal.
        ascii_only: whether to write only ASCII characters; None: unless stdout accepts UTF-8.
        width: maximum number of columns; longer texts are folded. None: that of the terminal, 100 without one.

    Returns:
        The table, without a newline at its end.
    """
    rows_of = (_run_rows,) if result.get("members") is not None else (_energy_rows, _sampling_rows, _run_rows)
    sections = [section(result) for section in rows_of]
    return terminal_table(sections, n_left=2, styled=styled, ascii_only=ascii_only, width=width)


def _energy_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the rows of the energy, its reference and its parts."""
    energy, error = _number(result, "energy"), _number(result, "energy_error")
    verdict = verdict_text(result)
    return [
        *([("Verdict", verdict)] if verdict else []),
        ("Energy", _energy(energy, error, _number(result, "energy_error_naive"))),
        ("Reference", _reference(result)),
        ("Deviation", _deviation(result)),
        *[("Diffusion", text) for text in [_diffusion(result)] if text],
        ("Variance", _with_unit(_number(result, "variance"), ".6g", "(ħω)²")),
        ("Kinetic", _with_unit(_number(result, "kinetic"), ".6f", "ħω")),
        ("Trap", _with_unit(_number(result, "trap"), ".6f", "ħω")),
        ("Interaction", _with_unit(_number(result, "interaction"), ".6f", "ħω")),
    ]


def _sampling_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the rows of the quality of the sampling."""
    acceptance = _number(result, "acceptance")
    return [
        ("Acceptance", UNKNOWN if acceptance is None else f"{100 * acceptance:.1f} %"),
        ("R-hat", _with_unit(_number(result, "r_hat"), ".4f")),
        ("Effective samples", _with_unit(_number(result, "effective_samples"), ",.0f")),
    ]


def _run_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the rows of the run itself."""
    parameters = _with_unit(_number(result, "n_parameters"), ",.0f")
    trainable = _with_unit(_number(result, "n_trainable_parameters"), ",.0f")
    seconds = [
        f"{name} {_with_unit(_number(result, f'seconds_{name}'), ',.1f')}" for name in ("training", "compile", "total")
    ]
    versions = result.get("versions")
    if isinstance(versions, Mapping):
        versions = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [
        ("Parameters", f"{parameters} ({trainable} trainable)"),
        ("Iterations", _iterations(result)),
        ("Stop reason", _text(STOP_WORDS.get(str(result.get("stop_reason")), result.get("stop_reason")))),
        *[("Faults", text) for text in [_faults(result)] if text],
        ("Seconds", ", ".join(seconds)),
        ("Seed", _text(result.get("seed"))),
        ("Versions", _text(versions)),
    ]


def _energy(energy: float | None, error: float | None, naive_error: float | None) -> str:
    """Returns "10.8916 ± 0.0013 (naive 0.0004) ħω"."""
    text, error_text = round_to_error(energy, error)
    if energy is None:
        return UNKNOWN
    naive = "" if naive_error is None else f" (naive {naive_error:.2g})"
    return f"{text} ± {error_text or 'unknown'}{naive} ħω"


def _reference(result: Mapping[str, Any]) -> str:
    """Returns "10.89144(10) ħω (diagonalisation, upper bound)"."""
    energy, kind = _number(result, "reference_energy"), result.get("reference_kind")
    if kind == "none":
        return "none"
    if energy is None:
        return UNKNOWN
    uncertainty = _number(result, "reference_uncertainty")
    words = REFERENCE_WORDS.get(str(kind), _text(kind))
    if uncertainty == 0.0:
        return f"{round_to_error(energy, None)[0]} ħω ({words}, exact)"
    return f"{format_with_error(energy, uncertainty)} ħω ({words})"


def _diffusion(result: Mapping[str, Any]) -> str:
    """Returns "51.29211(9) ħω, the energy is +0.000165 ħω from it"; "" where there is none or it is the reference."""
    energy, exact = _number(result, "energy"), _number(result, "diffusion_energy")
    if exact is None or result.get("reference_kind") == "diffusion":
        return ""
    text = f"{format_with_error(exact, _number(result, 'diffusion_energy_error'))} ħω"
    return text if energy is None else f"{text}, the energy is {energy - exact:+.6f} ħω from it"


def _deviation(result: Mapping[str, Any]) -> str:
    """Returns "+0.000165 ħω, +0.13 sigma, +0.0015 %", without the unknown parts."""
    energy, reference = _number(result, "energy"), _number(result, "reference_energy")
    sigmas = _number(result, "deviation_in_sigma")
    parts = []
    if energy is not None and reference is not None:
        parts.append(f"{energy - reference:+.6f} ħω")
    if sigmas is not None:
        parts.append(f"{sigmas:+.2f} {SIGMA}")
    if energy is not None and reference:  # no relative deviation from zero
        parts.append(f"{100 * (energy - reference) / abs(reference):+.4f} %")
    return ", ".join(parts) or UNKNOWN


def _iterations(result: Mapping[str, Any]) -> str:
    """Returns "1,000", or "1,000 (57 with new samples)" if samples were reused."""
    n_iterations, n_samplings = _number(result, "n_iterations"), _number(result, "n_samplings")
    reused = "" if n_samplings in (None, n_iterations) else f" ({n_samplings:,.0f} with new samples)"
    return _with_unit(n_iterations, ",.0f") + reused


def _faults(result: Mapping[str, Any]) -> str:
    """Returns "1 rollback, 3 walkers restarted, non-finite local energies: 0.02 % in training"; "" without any."""
    counts = {
        "rollback{s}": _number(result, "n_repairs"),
        "walker{s} restarted": _number(result, "n_restarted"),
        "natural-gradient solve{s} repeated with more damping": _number(result, "n_rejected"),
    }
    shares = {
        "in training": _number(result, "non_finite_share_training"),
        "in the measurement": _number(result, "non_finite_share"),
    }
    parts = [f"{number:,.0f} {words.format(s='s' * (number > 1))}" for words, number in counts.items() if number]
    left_out = [f"{100 * share:.2g} % {where}" for where, share in shares.items() if share]
    if left_out:
        parts.append("non-finite local energies: " + ", ".join(left_out))
    return ", ".join(parts)


def _number(result: Mapping[str, Any], key: str) -> float | None:
    """Returns a value as float; None if it is missing, None or nan."""
    value = result.get(key)
    if value is None or math.isnan(value):
        return None
    return float(value)


def _with_unit(value: float | None, number_format: str, unit: str = "") -> str:
    """Returns a number with its unit."""
    return UNKNOWN if value is None else f"{value:{number_format}} {unit}".rstrip()


def _text(value: object) -> str:
    """Returns any value as text."""
    is_unknown = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    return UNKNOWN if is_unknown else str(value)
