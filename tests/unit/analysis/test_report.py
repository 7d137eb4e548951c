"""The table of a result and the notation of uncertainties."""

import types

import pytest

from tf_nqs.analysis.report import format_with_error, result_table

RESULT = {
    "energy": 10.89161,
    "energy_error": 0.0013,
    "energy_error_naive": 0.0004,
    "variance": 0.0123,
    "kinetic": 2.1,
    "trap": 6.2,
    "interaction": 2.59161,
    "acceptance": 0.501,
    "r_hat": 1.003,
    "effective_samples": 123456.7,
    "reference_energy": 10.891445,
    "reference_kind": "diagonalisation",
    "reference_uncertainty": 1e-4,
    "deviation_in_sigma": 0.127,
    "n_parameters": 8712,
    "n_trainable_parameters": 264,
    "n_iterations": 23022,
    "stop_reason": "early stopping [converged]",
    "seconds_total": 1234.5,
    "seconds_training": 1200.0,
    "seconds_compile": 20.1,
    "seed": 0,
    "versions": {"tensorflow": "2.21.0", "keras": "3.15.1"},
}


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (10.89161, 0.0013, "10.8916(13)"),
        (-2.471756, 0.00021, "-2.47176(21)"),
        (10.89161, 0.00996, "10.892(10)"),
        (10.0, 0.0995, "10.00(10)"),
        (0.5, 0.96, "0.50(96)"),
        (0.5, 0.996, "0.5(1.0)"),
        (123.44, 2.34, "123.4(2.3)"),
        (10.0, 9.96, "10(10)"),
        (123.4, 25.0, "123(25)"),
        (1234.0, 250.0, "1230(250)"),
        (0.0, 0.0013, "0.0000(13)"),
        (-1e-6, 0.0013, "0.0000(13)"),
        (8.0, 0.0, "8.000000(0)"),
        (8.0, None, "8.000000"),
        (8.0, float("nan"), "8.000000"),
        (8.0, float("inf"), "8.000000"),
        (8.0, 1e-15, "8.000000000000(1)"),
        (8.0, 1.04e-9, "8.0000000000(10)"),
        (1e30, 1e29, "1e+30(1e+29)"),
        (None, 1.0, "-"),
        (float("nan"), None, "-"),
    ],
)
def test_format_with_error(value, error, expected):
    """Two digits of the error, rounding that carries, and the odd cases."""
    assert format_with_error(value, error) == expected


def test_negative_error_is_refused():
    """It can only be a mistake."""
    with pytest.raises(ValueError, match="negative"):
        format_with_error(1.0, -0.1)


def rows(table):
    """Returns the cells of a plain ASCII table as {name: text}."""
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")]
    return {name.strip(): text.strip() for name, text in lines}


def test_table_says_it_all():
    """Every cell of a whole result."""
    assert rows(result_table(RESULT, styled=False, ascii_only=True)) == {
        "Energy": "10.8916 +- 0.0013 (naive 0.0004) hbar*omega",
        "Reference": "10.89144(10) hbar*omega (diagonalisation, upper bound)",
        "Deviation": "+0.000165 hbar*omega, +0.13 sigma, +0.0015 %",
        "Variance": "0.0123 (hbar*omega)^2",
        "Kinetic": "2.100000 hbar*omega",
        "Trap": "6.200000 hbar*omega",
        "Interaction": "2.591610 hbar*omega",
        "Acceptance": "50.1 %",
        "R-hat": "1.0030",
        "Effective samples": "123,457",
        "Parameters": "8,712 (264 trainable)",
        "Iterations": "23,022",
        "Stop reason": "early stopping [converged]",
        "Seconds": "training 1,200.0, compile 20.1, total 1,234.5",
        "Seed": "0",
        "Versions": "tensorflow 2.21.0, keras 3.15.1",
    }


@pytest.mark.parametrize("key", sorted(RESULT))
def test_any_value_may_be_none(key):
    """Neither None nor nan is shown."""
    table = result_table(RESULT | {key: None}, styled=False, ascii_only=True)
    assert "None" not in table
    assert "nan" not in result_table(RESULT | {key: float("nan")}, styled=False, ascii_only=True)


def test_empty_result_is_all_unknown():
    """Nothing is known, nothing is raised."""
    cells = rows(result_table({}, styled=False, ascii_only=True))
    assert cells["Energy"] == cells["Reference"] == cells["Deviation"] == cells["Seed"] == "-"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reference_kind": "none", "reference_energy": None}, "none"),
        (
            {"reference_kind": "free_fermions", "reference_energy": 8.0, "reference_uncertainty": 0.0},
            "8.000000 hbar*omega (free fermions, exact)",
        ),
        (
            {"reference_kind": "relative_coordinate", "reference_energy": 2.425619, "reference_uncertainty": None},
            "2.425619 hbar*omega (relative coordinate)",
        ),
    ],
)
def test_reference_kinds(changes, expected):
    """Exact, nearly exact, and none."""
    assert rows(result_table(RESULT | changes, styled=False, ascii_only=True))["Reference"] == expected


def test_an_energy_by_diffusion_beside_another_reference():
    found = {"diffusion_energy": RESULT["energy"] - 1e-4, "diffusion_energy_error": 2e-4}
    cells = rows(result_table(RESULT | found, styled=False, ascii_only=True))
    assert cells["Diffusion"].endswith("(20) hbar*omega, the energy is +0.000100 hbar*omega from it")
    assert "Diffusion" not in rows(result_table(RESULT, styled=False, ascii_only=True))
    by_diffusion = RESULT | found | {"reference_kind": "diffusion"}
    assert "Diffusion" not in rows(result_table(by_diffusion, styled=False, ascii_only=True))


def test_lines_are_aligned_and_narrow():
    """Long texts fold inside the table."""
    for ascii_only in (True, False):
        lines = result_table(RESULT, styled=False, ascii_only=ascii_only, width=72).splitlines()
        assert len({len(line) for line in lines}) == 1
        assert len(lines[0]) <= 72


def test_symbols_where_the_terminal_takes_them():
    """And none where it does not."""
    table = result_table(RESULT, styled=False, ascii_only=False)
    assert "10.8916 ± 0.0013 (naive 0.0004) ħω" in table
    assert result_table(RESULT, styled=False, ascii_only=True).isascii()


def test_escapes_only_where_asked(monkeypatch):
    """Plain text in a file or a pipe."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in result_table(RESULT, styled=True)
    assert "\x1b[" not in result_table(RESULT, styled=False)
    assert "\x1b[" not in result_table(RESULT)  # under pytest stdout is not a terminal


@pytest.mark.parametrize(("encoding", "is_ascii"), [("utf-8", False), ("latin-1", True), (None, True)])
def test_encoding_of_stdout_decides(monkeypatch, encoding, is_ascii):
    """Symbols only in UTF-8."""
    stdout = types.SimpleNamespace(encoding=encoding, isatty=lambda: False)
    monkeypatch.setattr("tf_nqs.analysis.tables.sys.stdout", stdout)
    assert result_table(RESULT).isascii() == is_ascii


def test_faults_are_shown_only_if_there_were_any():
    nothing = {"n_repairs": 0, "n_restarted": 0, "non_finite_share": 0.0, "non_finite_share_training": 0.0}
    assert "Faults" not in result_table(RESULT) and "Faults" not in result_table(RESULT | nothing)
    line = next(line for line in result_table(RESULT | {"n_rejected": 2}, width=200).splitlines() if "Faults" in line)
    assert "2 natural-gradient solves repeated with more damping" in line
    some = {"n_repairs": 1, "n_restarted": 3, "non_finite_share": 1e-5, "non_finite_share_training": 0.0002}
    line = next(line for line in result_table(RESULT | some, width=200).splitlines() if "Faults" in line)
    assert "1 rollback, 3 walkers restarted, non-finite local energies: 0.02 % in training, 0.001 % in the me" in line
