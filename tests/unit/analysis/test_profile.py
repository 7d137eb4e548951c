"""The profile's CSV reads back, its table has every number, its picture is drawn."""

from __future__ import annotations

import math

from tf_nqs.analysis.profile import PhaseTime, plot_profile, profile_table, read_profile, write_profile

ROWS = [
    PhaseTime("sampling", 0.030, 5, 0.0015, 0.03),
    PhaseTime("forward", 0.004, 105, 0.0042, 0.084),
    PhaseTime("local_energy", 0.025, 100, 0.025, 0.5),
    PhaseTime("gradient", 0.012, 100, 0.012, 0.24),
    PhaseTime("update", 0.0073, 100, 0.0073, 0.146),
    PhaseTime("iteration", 0.049, 100, 0.049, math.nan),
]


def test_reads_back(tmp_path):
    write_profile(ROWS, tmp_path / "profile.csv", 7)
    rows = read_profile(tmp_path / "profile.csv")
    assert rows[:-1] == ROWS[:-1]
    assert rows[-1][:-1] == ROWS[-1][:-1] and math.isnan(rows[-1].share)
    header = (tmp_path / "profile.csv").read_text().splitlines()[0]
    assert header == "phase,seconds_per_call,n_calls,seconds_per_iteration,share,n_iterations"
    assert all(line.endswith(",7") for line in (tmp_path / "profile.csv").read_text().splitlines()[1:])


def test_table():
    lines = profile_table(ROWS).splitlines()
    assert lines[0] == "Time profile of 100 iterations"
    assert lines[2].split() == ["Sampling", "30.00", "5", "1.50", "3.0", "%"]
    assert lines[-1].split() == ["Whole", "iteration,", "compiled", "49.00", "100", "49.00"]
    assert len(lines) == 2 + len(ROWS) and profile_table(ROWS).isascii()


def test_picture(tmp_path):
    plot_profile(ROWS, tmp_path / "profile.png", "A = 4")
    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG")
