"""Transfer: a new ansatz starts from the weights of a trained one, as far as their shapes allow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from tf_nqs.ansatz.protocol import HasEquivariantLayers
from tf_nqs.callbacks import set_trainable
from tf_nqs.config import SettingsError
from tf_nqs.config.errors import brief, shown
from tf_nqs.experiment.build import read_run
from tf_nqs.experiment.copied_weights import CopiedWeight, TransferError, between_families, weight_name
from tf_nqs.storage.files import UNREADABLE_ARRAYS, replace_file
from tf_nqs.storage.pretrained import finished_source, transfer_folder
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.training import VariationalMonteCarlo
from tf_nqs.types import WalkerState

_MAY_DIFFER = ("n_particles", "name", "dtype", "trainable", "length", "contact_exponent")
"""Entries of a model's configuration that a transfer need not keep; precision is judged by the weights.

The last two follow the interaction, and no weight depends on them."""


class Transfer(NamedTuple):
    """Report of a transfer; weights are named as in the ansatz, e.g. `equivariant_1/kernel`.

    Attributes:
        source: the run folder, or the class of the model, that the weights come from.
        kind: "interaction" for the same number of particles, where all weights are copied, "family" for those of a
            family, or of a member of one, else "particle".
        copied: weight -> number of its parameters, for those copied.
        drawn: the same for those that keep the random start values of the ansatz, because their shape depends on A, and
            for those of features that only the new family has, which start at 0.
        frozen: the same for those, copied or not, that are not trainable.
        walkers: "carried over", or why they are new; None between two models, which have no walkers.
    """

    source: str
    kind: str
    copied: dict[str, int]
    drawn: dict[str, int]
    frozen: dict[str, int]
    walkers: str | None = None

    def lines(self) -> list[str]:
        """Returns the report as lines for the terminal."""
        lines = [f"{self.kind} transfer from {self.source}"]
        for name in ("copied", "drawn", "frozen"):
            weights = getattr(self, name)
            what = "new" if name == "drawn" else name
            lines.append(f"  {what}: {sum(weights.values())} parameters ({', '.join(weights) or 'none'})")
        return lines + ([f"  walkers: {self.walkers}"] if self.walkers else [])


def transfer_from(
    source: str | Path | keras.Model,
    ansatz: keras.Model,
    freeze_equivariant: bool = False,
    member: Mapping[str, Any] | None = None,
) -> Transfer:
    """Copies the weights of a trained wave function into a new one, as far as their shapes allow.

    With the same number of particles A all weights are copied (interaction transfer). With another one, larger or
    smaller, only weights whose shape does not depend on A are copied (particle transfer): in `FermionAnsatz` the
    equivariant layers, in `JastrowAnsatz` all. The others keep their present values. Nothing is copied if anything is
    refused.

    Between two families the members of the source are those of the new family as well; what only the new one has starts
    from zero, or, for more orbitals, from random values.

    Args:
        source: the folder of a run, or a model.
        ansatz: the model that the weights are copied to; if layers are to be frozen, not yet compiled in a trainer.
        freeze_equivariant: whether the ansatz' `equivariant_layers` are frozen.
        member: of the run of a family the arguments of `Run.at`, which pick the member that the weights come from.

    Returns:
        The names and sizes of the weights that were copied, that were not, and that are frozen.

    Raises:
        TransferError: the source is no run or holds weights that are not finite; it has another class, another
            configuration but for what follows the system (number of particles, length, contact_exponent), or a higher
            precision; the features of two families are scaled by other ranges;
            or the ansatz has no equivariant layers to freeze.

    Example:
        >>> ansatz = tf_nqs.FermionAnsatz(n_particles=4)
        >>> report = tf_nqs.transfer_from("runs/a2v5", ansatz, freeze_equivariant=True)
        >>> sum(report.frozen.values()), ansatz.count_params()
        (8448, 8712)

    Reference: thesis, Secs. 3.2.1 and 3.2.2.
    """
    is_model = isinstance(source, keras.Model)
    name = type(source).__name__ if is_model else str(source)
    model = source if is_model else _load(name, member)
    try:
        copied = _matching(model, ansatz)
    except TransferError as error:
        raise TransferError(f"transfer_from = {shown(name)}: {error}") from None
    if freeze_equivariant:
        freeze_equivariant_layers(ansatz)
    for one in copied:
        one.weight.assign(one.value)
    taken = {weight_name(one.weight): one.size for one in copied}
    trainable = {id(weight) for weight in ansatz.trainable_variables}
    others = {name: size - taken.get(name, 0) for name, size in _sizes(ansatz.weights).items()}
    is_family = member or _is_family(ansatz)
    return Transfer(
        source=name,
        kind="family" if is_family else "particle" if _differ_in_particles(model, ansatz) else "interaction",
        copied=taken,
        drawn={name: size for name, size in others.items() if size},
        frozen=_sizes(weight for weight in ansatz.weights if id(weight) not in trainable),
    )


def freeze_equivariant_layers(ansatz: keras.Model) -> None:
    """Freezes the layers that make features, whose weights do not depend on the number of particles.

    In `FermionAnsatz` orbitals and envelope are trained then; in `JastrowAnsatz` the two heads, w and u.

    Args:
        ansatz: a model with `equivariant_layers`, not yet compiled in a trainer.

    Raises:
        TransferError: it has none.
    """
    if not isinstance(ansatz, HasEquivariantLayers):
        raise TransferError(f"freeze_equivariant = true: {type(ansatz).__name__} has no equivariant_layers")
    set_trainable(ansatz.equivariant_layers, False)


def _load(run_dir: str, member: Mapping[str, Any] | None) -> keras.Model:
    """Returns the ansatz of a run folder, or of a member of a family; errors name the setting transfer_from."""
    try:
        run = read_run(finished_source(run_dir))
        return (run.at(**member) if member else run).ansatz
    except SettingsError as error:
        raise TransferError(str(error)) from error


def _matching(source: keras.Model, ansatz: keras.Model) -> list[CopiedWeight]:
    """Returns the weights that are copied, after checking that the models differ only in their systems."""
    if type(source) is not type(ansatz):
        raise TransferError(
            f"is a {type(source).__name__}, the ansatz a {type(ansatz).__name__}; must be the same class"
        )
    here = _numbers_of_config(ansatz)
    for name, value in _numbers_of_config(source).items():
        if here.get(name, value) != value:
            raise TransferError(f"has {name} = {shown(value)}, the ansatz {name} = {shown(here[name])}; must be equal")
    if len(source.weights) != len(ansatz.weights):
        raise TransferError(f"has {len(source.weights)} weights, the ansatz {len(ansatz.weights)}; must be equal")
    pairs = list(zip(source.weights, ansatz.weights, strict=True))
    are_families = _is_family(source) and _is_family(ansatz)
    for old, new in pairs:
        shapes = f"{weight_name(old)} of shape {tuple(old.shape)}, the ansatz {tuple(new.shape)}"
        if old.shape != new.shape and not are_families and not _differ_in_particles(source, ansatz):
            raise TransferError(f"has {shapes}, for as many particles; must be equal")
        if not np.can_cast(old.dtype, new.dtype, "safe"):
            raise TransferError(f"has weights in {old.dtype}, the ansatz in {new.dtype}, which would lose digits")
        if not np.all(np.isfinite(old.numpy())):
            raise TransferError(f"{weight_name(old)} is not finite everywhere; the training has failed")
    if are_families:
        return between_families(source, ansatz)
    return [CopiedWeight(new, old, math.prod(new.shape)) for old, new in pairs if old.shape == new.shape]


def _is_family(model: keras.Model) -> bool:
    return getattr(model, "conditions", None) is not None


def _differ_in_particles(source: keras.Model, ansatz: keras.Model) -> bool:
    return getattr(source, "n_particles", None) != getattr(ansatz, "n_particles", None)


def _numbers_of_config(model: keras.Model) -> dict[str, object]:
    """Returns the plain entries of a configuration; none for a model without one, of which only shapes are compared."""
    try:
        config = model.get_config()
    except NotImplementedError:
        return {}
    return {k: v for k, v in config.items() if k not in _MAY_DIFFER and isinstance(v, bool | int | float | str)}


def _sizes(weights: Iterable[Any]) -> dict[str, int]:
    return {weight_name(weight): math.prod(weight.shape) for weight in weights}


def save_walkers(vmc: VariationalMonteCarlo, folder: RunFolder) -> None:
    """Writes `walkers.npz`: positions (n_walkers, n_particles) and proposal_width in a_ho, sampler and n_iterations.

    Args:
        vmc: the trainer.
        folder: the run folder.
    """
    positions, _, width = (np.array(value) for value in vmc.walkers)
    arrays: dict[str, Any] = {"positions": positions, "proposal_width": width, "sampler": np.array(vmc.sampler.name)}
    arrays["n_iterations"] = np.array(int(vmc.iteration.numpy()))
    replace_file(folder.walkers, lambda unfinished: np.savez_compressed(unfinished, **arrays))


def carry_walkers(run_dir: str | Path, vmc: VariationalMonteCarlo) -> str:
    """Gives the walkers of a run to a trainer whose ansatz has all the weights of that run.

    They sample |Psi|^2 already and need no burn-in. If the trainer has fewer walkers, it takes the first ones; if it
    has more, they are repeated and burnt in, so that the copies separate. Another kind of sampler keeps its own
    proposal width.

    Args:
        run_dir: the folder of the run.
        vmc: a trainer before its first iteration.

    Returns:
        "carried over", or why the trainer keeps its own walkers: the run has none that fit.

    Raises:
        TransferError: their file cannot be read.
    """
    source = transfer_folder(run_dir)
    path = source.walkers
    n_walkers, n_particles = vmc.positions.shape
    if not path.is_file():
        return f"new, because {run_dir} has no {path.name}"
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            entries = [file[name] for name in ("positions", "proposal_width", "sampler")]
        if not all(isinstance(entry, np.ndarray) for entry in entries):
            raise ValueError("an entry is no array")
        positions, width, sampler = entries[0], float(entries[1]), str(entries[2])
    except UNREADABLE_ARRAYS as error:
        raise TransferError(f"{source.name}: {path.name} cannot be read ({brief(error)})") from error
    if not _are_walkers(positions, width, n_particles):
        return f"new, because those of {run_dir} do not fit"
    if sampler != vmc.sampler.name:
        width = float(vmc.proposal_width.numpy())
    carried = np.resize(positions, (n_walkers, n_particles)).astype(vmc.compute_dtype)
    vmc.place_walkers(WalkerState(carried, vmc.seed, width), burn_in=len(positions) < n_walkers)
    return "carried over" + (", repeated and burnt in" if vmc.needs_burn_in else "")


def _are_walkers(positions: np.ndarray, width: float, n_particles: int) -> bool:
    """Returns whether positions are of at least one walker of `n_particles`, and these and the width are finite."""
    if positions.dtype.kind != "f" or positions.ndim != 2 or 0 in positions.shape or positions.shape[1] != n_particles:
        return False
    return bool(np.all(np.isfinite(positions))) and 0 < width < math.inf
