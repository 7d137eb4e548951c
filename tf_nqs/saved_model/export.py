"""A wave function written as a SavedModel, which runs wherever TensorFlow does, without this package or Keras."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.physics import FermionFamily, TrappedFermions
from tf_nqs.saved_model.content import Compared, Content, Functions, check_system, content_of_family, content_of_system
from tf_nqs.saved_model.family import check_family
from tf_nqs.saved_model.family_readme import family_readme
from tf_nqs.saved_model.readme import readme
from tf_nqs.storage.export_folder import README_FILE, VERSION_FOLDER, check_output
from tf_nqs.storage.files import folder_errors
from tf_nqs.types import Tensor

SUMMARY_FILE = "export.json"

_N_CHECKED, _N_CHECKED_STEPS = 64, 200
"""Number of walkers on which a new export is compared with the ansatz, and of Metropolis steps that draw them."""

LEAST_SHARE = 0.9
"""Minimum share of walkers whose numbers must agree and be finite. The other walkers may be next to a node."""

LARGEST_DEVIATION = {"float32": (1e-5, 1e-3), "float64": (1e-12, 1e-11)}
"""Maximum deviation of the reloaded numbers, relative to max(1, |value|), for up to four particles.

The first bound is for the wave function, the second for its derivatives. Both models do the same operations, but the
order of a few sums differs, and nearly dependent orbitals, as of random weights, amplify this rounding. Nine in ten
walkers of four particles were off by 1e-6 and 3e-5 at most in float32, by 1e-15 and 2e-14 in float64. Next to a node
rounding errors grow without limit, so no bound holds for every walker.
"""

_GROWTH, _LARGEST_BOUND = 3.0, 0.1
"""Factor by which each particle beyond four raises the bounds, and their maximum.

With random weights in float32 nine in ten walkers were off by 6e-6 (ln|Psi|) and 3e-4 (gradient) for six particles, by
1e-4 (ln|Psi|) and 3e-3 (kinetic energy) for ten. A wrong export is off by about 1.
"""

_OF_DERIVATIVES = ("local_energy", "gradient_and_laplacian")
_FINITE = ("log_psi", "local_energy")
"""Signatures whose numbers must be finite."""


class ExportError(RuntimeError):
    """The exported model does not give the numbers of the wave function."""


def export(
    ansatz: keras.Model,
    system: TrappedFermions | FermionFamily,
    output: str | Path,
    laplacian: str = defaults.LAPLACIAN,
    assets: Mapping[str, str] | None = None,
    overwrite: bool = False,
    n_iterations: int | None = None,
    extrapolate: bool = False,
) -> dict[str, float]:
    """Writes a wave function and its local energy as `<output>/1/saved_model.pb`, and a README.

    The new export is written to a temporary folder, reloaded and compared with the ansatz, and only then moved to
    `output`. Of a family the signatures take the parameters of the system beside the positions, and several members
    are compared.

    Args:
        ansatz: Keras model, positions (n_walkers, n_particles) -> (sign, log_abs_psi).
        system: the Hamiltonian, or the family of them that the ansatz was made for.
        output: a new or an empty folder.
        laplacian: as for `VariationalMonteCarlo`.
        assets: file name -> text, kept inside the model; `config.toml` and `result.json` are quoted in the README.
        overwrite: whether the new export may replace an existing one in `output`.
        n_iterations: iterations of the training so far, for `export.json` and the README.
        extrapolate: of a family, whether its signatures take parameters outside of what was trained.

    Returns:
        Signature -> largest deviation of the reloaded model's numbers from the ansatz' own on 64 walkers, relative to
        max(1, |value|).

    Raises:
        SettingsError: output cannot be used. (A ValueError.)
        ValueError: laplacian is unknown or not available, ansatz and system have different numbers of particles or are
            of different families, or the ground state vanishes at contact as the ansatz does not.
        ExportError: the reloaded model gives other numbers.

    Example:
        >>> system, ansatz, _ = tf_nqs.load("runs/a4")
        >>> deviations = tf_nqs.export(ansatz, system, "exported/a4")
        >>> sorted(deviations)
        ['gradient_and_laplacian', 'local_energy', 'log_psi', 'orbitals', 'psi']
    """
    if isinstance(system, FermionFamily):
        check_family(ansatz, system)
    else:
        check_system(ansatz, system)
    target = check_output(output, overwrite)
    if isinstance(system, FermionFamily):
        content, describe = content_of_family(ansatz, system, laplacian, not extrapolate), family_readme
    else:
        content, describe = content_of_system(ansatz, system, laplacian), readme
    summary = content.summary | {"n_iterations": n_iterations}
    texts = {**(assets or {}), SUMMARY_FILE: json.dumps(summary, indent=2, ensure_ascii=False) + "\n"}
    with _written_beside(target, output) as folder:
        _save(ansatz, content, texts, folder)
        deviations = _compare(content.compared, folder)
        (folder / README_FILE).write_text(describe(target.name, content.names, summary, texts), encoding="utf-8")
    return deviations


def _save(ansatz: keras.Model, content: Content, texts: Mapping[str, str], folder: Path) -> None:
    """Writes the model; its texts become assets in the folder of that name."""
    module = tf.Module()
    methods, signatures = content.make()
    for name, method in methods.items():
        setattr(module, name, method)
    # TensorFlow's variables, not Keras' objects: the model must load without Keras.
    module.parameters = [variable.value for variable in ansatz.variables]
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        module.assets = []
        for name, text in texts.items():
            (Path(scratch) / name).write_text(text, encoding="utf-8")
            module.assets.append(tf.saved_model.Asset(str(Path(scratch) / name)))
        tf.saved_model.save(module, str(folder / VERSION_FOLDER), signatures=signatures)


def _compare(compared: Sequence[Compared], folder: Path) -> dict[str, float]:
    """Reloads the model; returns signature -> largest deviation, over all systems that are compared.

    Raises:
        ExportError: fewer than `LEAST_SHARE` of the walkers have finite numbers, off by `LARGEST_DEVIATION` at most.
    """
    model = tf.saved_model.load(str(folder / VERSION_FOLDER))  # its signatures do not keep the weights alive
    found = [_deviations(model.signatures, *one) for one in compared]
    return {name: max(one[name] for one in found) for name in found[0]}


def _deviations(loaded: Mapping[str, Any], functions: Functions, arguments: Mapping[str, Any]) -> dict[str, float]:
    """Returns signature -> largest deviation of a reloaded model for one system."""
    dtype = loaded["log_psi"].structured_outputs["log_abs_psi"].dtype
    given = {
        name: tf.constant(value, tf.int32 if isinstance(value, int) else dtype) for name, value in arguments.items()
    }
    drawn = {"seed": [0, 0], "n_walkers": _N_CHECKED, "n_steps": _N_CHECKED_STEPS}
    positions = loaded["sample"](**{name: tf.constant(value) for name, value in drawn.items()}, **given)["positions"]
    if not np.all(np.isfinite(positions)):
        raise ExportError("the reloaded model samples positions that are not finite")
    given.pop("n_particles", None)
    largest = {}
    for signature, function in functions.items():
        reloaded, own = loaded[signature](positions=positions, **given), function(positions)
        bound = _bound(signature, positions.shape[1], positions.dtype.name)
        by_output = {name: _deviation(reloaded[name], own[name]) for name in own}
        for name, deviation in by_output.items():
            if signature in _FINITE:
                _require(np.isfinite(own[name]), f"{name} of {signature}: not finite")
            _require(deviation <= bound, f"{name} of {signature}: off by more than {bound:g} after reloading")
        largest[signature] = float(max(np.max(deviation) for deviation in by_output.values()))
    return largest


def _bound(signature: str, n_particles: int, dtype: str) -> float:
    """Returns the maximum deviation of the numbers of a signature."""
    bound = LARGEST_DEVIATION[dtype][signature in _OF_DERIVATIVES]
    return min(bound * _GROWTH ** min(max(n_particles - 4, 0), 99), _LARGEST_BOUND)


def _require(is_good: np.ndarray, fault: str) -> None:
    """Raises ExportError if more walkers than allowed have this fault."""
    if np.mean(is_good) < LEAST_SHARE:
        raise ExportError(f"{fault} for {np.count_nonzero(~is_good)} of {len(is_good)} walkers")


def _deviation(found: Tensor, wanted: Tensor) -> np.ndarray:
    """Returns |found - wanted|/max(1, |wanted|) of each walker, the maximum over its components.

    Equal infinities agree; NaN agrees with nothing.
    """
    found, wanted = (np.asarray(values).reshape(len(values), -1) for values in (found, wanted))
    with np.errstate(invalid="ignore"):
        off = np.abs(found - wanted) / np.maximum(1, np.abs(wanted))
    return np.max(np.where(found == wanted, 0, np.where(np.isnan(off), np.inf, off)), axis=1)


@contextlib.contextmanager
def _written_beside(target: Path, output: str | Path) -> Iterator[Path]:
    """Yields a temporary folder, which replaces `target` at the end, or is deleted if anything fails.

    Args:
        target: the final folder; its old content is deleted only when the new one is in place.
        output: the folder as messages write it.

    Raises:
        SettingsError: the folder cannot be written.
    """
    new_parents = [place for place in target.parents if not place.exists()]
    allowed = "must be a new or an empty folder"
    with folder_errors("output", output, allowed):
        target.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    new, old = workshop / "new", workshop / "old"
    try:
        with folder_errors("output", output, f"{allowed} on a disk with room for it", among_others=True):
            new.mkdir()
            yield new
        with folder_errors("output", output, allowed):
            _put_in_place(new, target, old)
    finally:
        if target.exists() or not old.exists():
            shutil.rmtree(workshop, ignore_errors=True)
        if not target.exists():
            with contextlib.suppress(OSError):  # something else is in it by now
                for place in new_parents:
                    place.rmdir()


def _put_in_place(new: Path, target: Path, old: Path) -> None:
    """Moves `target` to `old`, and `new` to `target`; restores `target` if that fails."""
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(new, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise
