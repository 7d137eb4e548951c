"""metrics.csv is read back, also after a run was killed; anything else is refused with the place named."""

import numpy as np
import pytest

from tf_nqs.analysis.metrics import read_metrics

HEADER = "iteration,energy,energy_error,variance,kinetic,trap,interaction,acceptance,proposal_width,seconds"
FIRST = "1,11.5,0.01,0.5,2.0,6.5,3.0,0.5,0.3,0.1"
SECOND = "2,11.25,0.01,nan,2.0,6.5,2.75,,NA,0.2"


def write(path, text):
    """Returns the path after writing the text to it as it is."""
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_columns_come_back(tmp_path, newline):
    """All columns, in order, missing numbers as nan."""
    columns = read_metrics(write(tmp_path / "m.csv", newline.join([HEADER, FIRST, SECOND, ""])))
    assert list(columns) == HEADER.split(",")
    assert columns["iteration"].dtype == np.int64
    np.testing.assert_array_equal(columns["iteration"], [1, 2])
    np.testing.assert_array_equal(columns["energy"], [11.5, 11.25])
    np.testing.assert_array_equal(columns["variance"], [0.5, np.nan])
    np.testing.assert_array_equal(columns["acceptance"], [0.5, np.nan])
    np.testing.assert_array_equal(columns["proposal_width"], [0.3, np.nan])


def test_later_columns_are_passed_on(tmp_path):
    """The reader does not fix the set of columns."""
    columns = read_metrics(write(tmp_path / "m.csv", f"{HEADER},mean_weight\n{FIRST},0.75\n"))
    np.testing.assert_array_equal(columns["mean_weight"], [0.75])


@pytest.mark.parametrize("kept", range(len(SECOND) + 1))
def test_a_line_cut_anywhere_is_left_out(tmp_path, kept):
    """A killed run leaves half a line, or a whole one with digits missing."""
    columns = read_metrics(write(tmp_path / "m.csv", f"{HEADER}\n{FIRST}\n{SECOND[:kept]}"))
    np.testing.assert_array_equal(columns["energy"], [11.5])


def test_header_alone_gives_empty_columns(tmp_path):
    """A run killed in its first iteration."""
    columns = read_metrics(write(tmp_path / "m.csv", HEADER + "\n"))
    assert all(column.shape == (0,) for column in columns.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no whole header"),
        (HEADER, "no whole header"),
        ("epoch,loss\n1,2\n", "lacks iteration, energy"),
        ("iteration,energy,energy\n1,2,3\n", "repeats a name"),
        (f"{HEADER}\n{FIRST}\n1,2\n{SECOND}\n", "line 3: 2 fields, but the header has 10"),
        ("iteration,energy\n1,2\n2,x1\n", "line 3, column energy: 'x1'"),
        ("iteration,energy\n1.5,2\n", "whole numbers"),
        ("iteration,energy\nnan,2\n", "whole numbers"),
    ],
)
def test_anything_else_is_refused(tmp_path, text, message):
    """The message says where and why."""
    with pytest.raises(ValueError, match=message):
        read_metrics(write(tmp_path / "m.csv", text))


def test_missing_file_is_an_os_error(tmp_path):
    """Not a ValueError."""
    with pytest.raises(FileNotFoundError):
        read_metrics(tmp_path / "none.csv")
