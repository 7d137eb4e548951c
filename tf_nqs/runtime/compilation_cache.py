"""What XLA has compiled, kept on disk for later processes, so that the second start of a shape need not compile.

Beside it are graphs that TensorFlow has traced, see `kept_file`.

TensorFlow can read and write a folder of compiled functions itself. But it trusts what it finds there: a damaged file
ends the training, and so does a file that disappears while it is read; neither XLA's flags nor the processor are part
of its keys. So each process gives TensorFlow a folder of its own, and shares through another one:

    xla/<key>/<name>.<digest>    compiled functions, whose names say what they must contain
    xla/process-<random>/<name>  what one process uses, removed when it ends

Files come into both folders as hard links, so what is shared appears at once, complete, and a file that another process
removes stays readable. Only the CPU is served.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

LARGEST_BYTES = 256 * 2**20
"""Maximum size of the shared files of a user; the longest unused ones are removed at the start of a process."""

_NEEDED_BYTES = 2 * LARGEST_BYTES
"""Free space without which nothing is kept: TensorFlow ends the training if it cannot write what it has compiled."""

_LARGEST_AGE = 7 * 24 * 3600
"""Seconds after which the folder of a process is taken for that of a killed one; the process would compile anew."""

_FLAG_NAMES = ("TF_", "XLA_", "OMP_", "OPENBLAS_", "MKL_")
"""Starts of the environment variables that may change what is compiled."""

_TRACED_WITH = ("keras", "numpy", "tensorflow_probability")
"""Distributions that decide, beside TensorFlow, what is traced."""

_SUFFIXES = (".pb", ".npz")
"""Of the files that are shared: those of XLA, and those of `kept_file`."""

_process: _Folders | None = None


def cache_folder() -> Path:
    """Returns the folder of the shared files of this user."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    return base / "tf_nqs" / "xla"


@contextlib.contextmanager
def kept_compilations(shape: str | None) -> Iterator[None]:
    """Lets XLA keep inside the `with` block what it compiles, and find what earlier processes have compiled.

    For the start of a process, before TensorFlow is loaded; later it has no effect. Nor has it where the user has set
    TensorFlow's own flags for such a folder. A folder that cannot be used is logged, and not needed.

    Args:
        shape: names what is compiled; processes with the same name share it. None to keep nothing.
    """
    global _process
    taken = os.environ.get("TF_XLA_FLAGS", "")
    if shape is None or _process or "tensorflow" in sys.modules or "_cache_" in taken or taken[:1] not in ("", "-"):
        yield
        return
    with contextlib.ExitStack() as until_the_end:
        try:
            _process = until_the_end.enter_context(_open(cache_folder(), shape))
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
            logger.info(f"no compilation cache: {getattr(error, 'strerror', None) or error} ({cache_folder_name()})")
        if _process:
            os.environ["TF_XLA_FLAGS"] = f"{taken} {_process.flags()}".strip()
        try:
            yield
        finally:
            publish()
            _process = None
            if taken:
                os.environ["TF_XLA_FLAGS"] = taken
            else:
                os.environ.pop("TF_XLA_FLAGS", None)


def publish() -> None:
    """Shares what this process has compiled by now; does nothing where nothing is kept."""
    if _process:
        with contextlib.suppress(OSError):
            _process.publish()


def kept_file(name: str) -> Path | None:
    """Returns where this process finds or leaves a file that others may read; None where nothing is kept.

    Whoever writes it lets it appear whole, as `publish` shares it. Other versions of the package, or of the libraries
    that it traces with, have other files.

    Args:
        name: all else that its content depends on.
    """
    if not _process or _process.code is None or _process.code != digest_of_code():
        return None  # the sources have changed since this process began
    digest = hashlib.blake2b(f"{_process.code} {name}".encode(), digest_size=16).hexdigest()
    path = _process.own / f"{digest}{_SUFFIXES[1]}"
    with contextlib.suppress(OSError):
        _process.fetch(f"{path.name}.*")
    return path


def digest_of_code() -> str | None:
    """Returns what tells this version of the package, with the libraries that it traces with, from others.

    None if that cannot be known.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        digest.update(repr([*map(importlib.metadata.version, _TRACED_WITH)]).encode())
        for path in (sources := sorted(Path(__file__).parents[1].rglob("*.py"))):
            digest.update(path.read_bytes())
    except (OSError, importlib.metadata.PackageNotFoundError):
        return None
    return digest.hexdigest() if sources else None


def cache_folder_name() -> str:
    """Returns the folder of the shared files for a message."""
    try:
        return str(cache_folder())
    except RuntimeError:
        return "no home folder"


class _Folders:
    """The folder of this process, and the shared one of what it may use.

    Args:
        own: folder of this process.
        shared: of this kind of process.

    Attributes:
        known: names of the files that are shared.
        code: `digest_of_code` at the start of the process.
    """

    def __init__(self, own: Path, shared: Path):
        self.own = own
        self.shared = shared
        self.known: set[str] = set()
        self.code = digest_of_code()

    def flags(self) -> str:
        """Returns TensorFlow's flags for the folder of this process."""
        path = str(self.own).replace("\\", "\\\\").replace('"', '\\"')
        return f'--tf_xla_persistent_cache_directory="{path}" --tf_xla_persistent_cache_device_types=CPU'

    def fetch(self, pattern: str) -> None:
        """Links shared files into the folder of this process, and removes damaged ones.

        Args:
            pattern: of their names.
        """
        for path in self.shared.glob(pattern):
            with contextlib.suppress(FileNotFoundError):  # removed by another process
                name, _, digest = path.name.rpartition(".")
                if name in self.known or _digest(path) != digest:
                    path.unlink()
                    continue
                os.utime(path)
                _link(path, self.own / name)
                self.known.add(name)

    def publish(self) -> None:
        """Links what TensorFlow has written since into the shared folder.

        XLA's output for one name differs from process to process in bytes that do not matter: one copy is enough.
        """
        for path in self.own.iterdir():
            if path.suffix in _SUFFIXES and path.name not in self.known:
                self.shared.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not any(self.shared.glob(f"{path.name}.*")):
                    with contextlib.suppress(FileExistsError):  # published by another process in this moment
                        _link(path, self.shared / f"{path.name}.{_digest(path)}")
                self.known.add(path.name)


@contextlib.contextmanager
def _open(root: Path, shape: str) -> Iterator[_Folders]:
    """Makes room and returns the folders of this process; its own lives as long as the `with` block.

    Raises:
        OSError: the folder cannot be used.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_foreign(root)
    if shutil.disk_usage(root).free < _NEEDED_BYTES:
        raise OSError("too little free space")
    remove_old(root)
    shared = root / _key(shape)
    shared.mkdir(mode=0o700, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix="process-", dir=root))
    try:
        folders = _Folders(own, shared)
        folders.fetch(f"*{_SUFFIXES[0]}.*")
        yield folders
    finally:
        shutil.rmtree(own, ignore_errors=True)


def remove_old(root: Path) -> None:
    """Removes the longest unused files until the rest is small enough, and the folders of processes that were killed.

    Args:
        root: folder of the shared files of a user.
    """
    files, total = [], 0
    for folder in root.iterdir():
        with contextlib.suppress(OSError):
            if folder.name.startswith("process-"):
                if time.time() - folder.stat().st_mtime > _LARGEST_AGE:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            for path in folder.iterdir():
                state = path.stat()
                files.append((state.st_mtime, state.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= LARGEST_BYTES:
            break
        total -= size
        with contextlib.suppress(OSError):
            path.unlink()
            path.parent.rmdir()  # fails if it still holds others


def _refuse_foreign(root: Path) -> None:
    """Refuses a folder that others can write to, as what it holds is run.

    Raises:
        OSError: it is such a folder.
    """
    state = root.stat()
    if os.name == "posix" and (state.st_uid != os.geteuid() or state.st_mode & 0o022):
        raise OSError("other users can write to the folder")


def _key(shape: str) -> str:
    """Returns the name of the shared folder: whatever changes compiled code but is no part of TensorFlow's keys."""
    flags = sorted(
        f"{name}={value}" for name, value in os.environ.items() if name.startswith(_FLAG_NAMES) and "LOG" not in name
    )
    found = importlib.util.find_spec("tensorflow")
    version = next((part.version for part in _tensorflow_distributions()), None)
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [shape, version, found and found.origin, _processor(), cpus, flags, sys.version]
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _tensorflow_distributions() -> Iterator[importlib.metadata.Distribution]:
    for name in ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield importlib.metadata.distribution(name)


def _processor() -> str:
    """Returns what tells the processor from others: machine code of one may be illegal on another."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0].splitlines()
        names = ("model name", "flags", "Features", "CPU implementer", "CPU part", "stepping", "model")
        return "\n".join(line for line in lines if line.split("\t")[0].strip() in names)
    return f"{platform.platform()} {platform.processor()} {platform.node()}"


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _link(source: Path, target: Path) -> None:
    """Gives a file a second name; where the file system has no links, copies it so that it appears at once."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        unfinished = target.with_name(f"{target.name}.{os.getpid()}.unfinished")
        shutil.copyfile(source, unfinished)
        os.replace(unfinished, target)
