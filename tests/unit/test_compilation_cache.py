"""Compiled functions on disk: only whole files reach TensorFlow, and nothing that goes wrong with them stops a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tf_nqs.config import settings_from
from tf_nqs.config.shape import compiled_shape
from tf_nqs.runtime import compilation_cache as cache

NAME = "xla_compile_cache__1__2__XLA_CPU_JIT.pb"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of shared files, for a process that has not loaded TensorFlow yet."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    return tmp_path / "tf_nqs" / "xla"


def own_folder():
    """Returns the folder that TensorFlow's flags name."""
    return Path(os.environ["TF_XLA_FLAGS"].split('"')[1])


def write(content=b"compiled"):
    """Does what TensorFlow does, and leaves what a killed write leaves."""
    (own_folder() / NAME).write_bytes(content)
    (own_folder() / f"{NAME}12345.tmp").write_bytes(b"comp")


def shared(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_next_process_finds_what_one_has_compiled(folder):
    with cache.kept_compilations("shape"):
        first = own_folder()
        assert list(first.iterdir()) == []
        write()
        cache.publish()
        assert len(shared(folder)) == 3  # shared already, as the process may be killed
    assert not first.exists() and len(shared(folder)) == 1
    assert "TF_XLA_FLAGS" not in os.environ
    with cache.kept_compilations("shape"):
        assert own_folder() != first
        assert [(path.name, path.read_bytes()) for path in own_folder().iterdir()] == [(NAME, b"compiled")]
    with cache.kept_compilations("another shape"):
        assert list(own_folder().iterdir()) == []


def test_what_a_stopped_process_has_compiled_is_kept(folder):
    with pytest.raises(KeyboardInterrupt), cache.kept_compilations("shape"):
        write()
        raise KeyboardInterrupt
    assert len(shared(folder)) == 1


@pytest.mark.parametrize("damaged", [b"", b"comp", b"cXmpiled", b"compiled and more"])
def test_a_damaged_file_never_reaches_tensorflow(folder, damaged):
    with cache.kept_compilations("shape"):
        write()
    shared(folder)[0].write_bytes(damaged)
    with cache.kept_compilations("shape"):
        assert list(own_folder().iterdir()) == []
        write()
    assert [path.read_bytes() for path in shared(folder)] == [b"compiled"]


def test_processes_at_the_same_time_do_not_disturb_each_other(folder):
    """One copy is shared, though XLA's output varies; who uses it keeps it when it is removed."""
    with cache._open(folder, "shape") as first, cache._open(folder, "shape") as other:
        for one, content in ((first, b"compiled"), (other, b"Compiled")):
            (one.own / NAME).write_bytes(content)
            one.publish()
        assert len([path for path in shared(folder) if path.parent == first.shared]) == 1
        with cache._open(folder, "shape") as late:
            for path in shared(first.shared):
                path.unlink()
            assert (late.own / NAME).read_bytes() == b"compiled"


def test_two_copies_of_one_name_are_no_obstacle(folder, messages):
    """Two processes have published theirs in the same moment."""
    with cache.kept_compilations("shape"):
        write()
    (one,) = shared(folder)
    other = folder / "another"
    other.write_bytes(b"Compiled")
    other.rename(one.with_name(f"{NAME}.{cache._digest(other)}"))
    with cache.kept_compilations("shape"):
        assert [path.name for path in own_folder().iterdir()] == [NAME]
    assert len(shared(folder)) == 1 and messages == []


def test_files_are_copied_where_the_disk_has_no_links(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    test_the_next_process_finds_what_one_has_compiled(folder)


def test_the_longest_unused_files_make_room(folder, monkeypatch):
    monkeypatch.setattr(cache, "LARGEST_BYTES", 25)
    for age, shape in enumerate("abcd"):
        with cache.kept_compilations(shape):
            write(shape.encode() * 10)
        for path in shared(folder):
            if path.read_bytes()[:1] == shape.encode():
                os.utime(path, (age, age))
    with cache.kept_compilations("a"):  # used again, but too late: room was made before
        assert list(own_folder().iterdir()) == []
    assert sorted(path.read_bytes()[:1] for path in shared(folder)) == [b"c", b"d"]
    assert len(list(folder.iterdir())) == 3  # with the new one


def test_folders_of_killed_processes_are_removed(folder):
    for name, age in (("process-old", 30), ("process-new", 0)):
        (folder / name).mkdir(parents=True)
        os.utime(folder / name, (age and 1, age and 1)) if age else None
    cache.remove_old(folder)
    assert [path.name for path in folder.iterdir()] == ["process-new"]


@pytest.mark.parametrize("obstacle", ["a file", "others may write", "no space", "no home"])
def test_an_unusable_folder_costs_one_line(folder, messages, monkeypatch, obstacle):
    if obstacle == "a file":
        folder.parent.write_text("")
    elif obstacle == "others may write":
        folder.mkdir(parents=True)
        folder.chmod(0o777)
    elif obstacle == "no space":
        monkeypatch.setattr(cache, "_NEEDED_BYTES", 2**80)
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("Could not find home")))
    done = []
    with cache.kept_compilations("shape"):
        done.append(os.environ.get("TF_XLA_FLAGS"))
    assert done == [None]
    assert len(messages) == 1 and messages[0].startswith("no compilation cache: ")


@pytest.mark.parametrize("flags", ["--tf_xla_persistent_cache_directory=/mine", "flags.txt"])
def test_flags_of_the_user_go_first(folder, monkeypatch, flags):
    monkeypatch.setenv("TF_XLA_FLAGS", flags)
    with cache.kept_compilations("shape"):
        assert os.environ["TF_XLA_FLAGS"] == flags
    assert not folder.exists()
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug")
    with cache.kept_compilations("shape"):
        assert os.environ["TF_XLA_FLAGS"].startswith("--tf_xla_clustering_debug --tf_xla_persistent_cache_dir")


def test_nothing_is_kept_where_nothing_can_be(folder, monkeypatch):
    with cache.kept_compilations(None):
        pass
    monkeypatch.setitem(sys.modules, "tensorflow", sys)  # whatever it is
    with cache.kept_compilations("shape"):
        pass
    assert not folder.exists()


def test_code_for_another_processor_or_by_other_flags_is_not_shared(monkeypatch):
    before = cache._key("shape")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    assert cache._key("shape") == before != cache._key("another")
    with monkeypatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
        assert cache._key("shape") != before
    monkeypatch.setattr(cache, "_processor", lambda: "another")
    assert cache._key("shape") != before


@pytest.mark.parametrize(
    ("given", "expected"),
    [("/elsewhere", "/elsewhere"), ("", "/home/me/.cache"), ("relative", "/home/me/.cache")],  # relative: not valid
)
def test_the_folder_is_in_the_cache_of_the_user(monkeypatch, given, expected):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert cache.cache_folder() == Path(expected) / "tf_nqs" / "xla"


def test_runs_share_what_they_would_compile_alike():
    one = compiled_shape(settings_from("quickstart", {}))
    assert one == compiled_shape(settings_from("quickstart", {"seed": 3, "iterations": 7, "learning_rate": 0.1}))
    assert one != compiled_shape(settings_from("quickstart", {"n_walkers": 64}))
    for off in ("compilation_cache", "jit_compile"):
        assert compiled_shape(settings_from("quickstart", {off: False})) is None
