"""What a disk refuses becomes one line, whoever raises it; what is no fault of the disk does not."""

from __future__ import annotations

import errno
import io
import os
import struct
import threading
import warnings
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.config import RunFolderError
from tf_nqs.storage.files import UNREADABLE_ARRAYS, folder_errors, one_at_a_time, replace_file, replace_text

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("among_others", [False, True])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FULL, "No space left on device"),
        (PermissionError(errno.EACCES, "denied by \n the system"), "Permission denied"),
        (IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)), "Is a directory"),
        (NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)), "Not a directory"),
        (tf.errors.ResourceExhaustedError(None, None, "a/b.json; No space left on device"), "No space left on device"),
        (tf.errors.FailedPreconditionError(None, None, "a/b.json; Read-only file system"), "Read-only file system"),
    ],
)
def test_the_line_names_the_setting_and_the_reason(error, reason, among_others):
    with (
        pytest.raises(RunFolderError) as caught,
        folder_errors("run_dir", "runs/a4", "must be another", among_others=among_others),
    ):
        raise error
    assert str(caught.value) == f"run_dir = 'runs/a4': cannot be written ({reason}); must be another"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "no such file"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[10]"),
        tf.errors.InvalidArgumentError(None, None, "Matrix size-incompatible"),
        ZeroDivisionError(),
    ],
)
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as caught, folder_errors("run_dir", "runs/a4", among_others=True):
        raise error
    assert caught.value is error


def test_where_only_files_are_written_every_error_of_the_system_is_told():
    with pytest.raises(RunFolderError, match=r"^output = 'x': cannot be written \(is a file\)$"):
        with folder_errors("output", "x"):
            raise NotADirectoryError(errno.ENOTDIR, "is a file")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, largest_file):
    path = tmp_path / "result.json"
    replace_text(path, "old")
    with largest_file(64), pytest.raises(OSError, match="File too large"):
        replace_text(path, 65 * "x")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    replace_text(path, 65 * "x")
    assert path.read_text() == 65 * "x" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_no_half_a_file(error, tmp_path):
    path = tmp_path / "result.json"
    replace_text(path, "old")

    def interrupted(unfinished):
        unfinished.write_text("half")
        raise error

    with pytest.raises(error):
        replace_file(path, interrupted)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_error_before_the_first_byte_is_the_one_that_is_told(tmp_path):
    def full(unfinished):
        raise FULL

    with pytest.raises(OSError, match="No space left on device"):
        replace_file(tmp_path / "nowhere" / "result.json", full)


def test_files_of_the_same_names_are_written_one_after_the_other(tmp_path):
    """Two at a time would write the same unfinished file, and the slower one would find it gone."""
    begun, other = threading.Event(), tmp_path / "other"
    other.mkdir()

    def write_after_another():
        with one_at_a_time(other):
            begun.set()
        with one_at_a_time(tmp_path):
            replace_text(tmp_path / "file", "second")

    with one_at_a_time(tmp_path):
        thread = threading.Thread(target=write_after_another)
        thread.start()
        assert begun.wait(60)  # another folder is not waited for
        replace_text(tmp_path / "file", "first")
        assert (tmp_path / "file").read_text() == "first"
    thread.join(60)
    assert (tmp_path / "file").read_text() == "second"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "other"}


def archive_of(shape):
    """The bytes of an .npz file whose only array says that it has this shape."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("positions.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(48))
    return file.getvalue()


def error_of(content):
    """The class of the error of reading an .npz file, None where it can be read."""
    try:
        with warnings.catch_warnings(action="ignore"), np.load(io.BytesIO(content), allow_pickle=False) as file:
            np.asarray(file["positions"])
    except UNREADABLE_ARRAYS as error:
        return type(error)
    return None


def test_every_error_of_a_damaged_file_of_arrays_is_known():
    """Errors of other classes end the test; one bit in every byte is changed."""
    file = io.BytesIO()
    np.savez_compressed(file, positions=np.arange(6.0).reshape(3, 2))
    whole, found = file.getvalue(), set()
    assert error_of(whole) is None
    for place in range(len(whole)):
        for bit in (0, 3, 6):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            found.add(error_of(bytes(damaged)))
    assert {"NotImplementedError", "RuntimeError", "BadZipFile", "KeyError"} <= {one.__name__ for one in found if one}
    for shape, name in (("(9" + 22 * "9" + ",)", "OverflowError"), ("(((((", "TokenError"), ("(-3,)", "ValueError")):
        assert error_of(archive_of(shape)).__name__ == name
