"""The settings of transfer and freezing."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tf_nqs import defaults
from tf_nqs.config.errors import SettingsError, shown_setting
from tf_nqs.config.family import SCALES, VARIED
from tf_nqs.config.section import CountOrZero, Section
from tf_nqs.family_values import described

PRETRAINED = "pretrained"
"""Value of transfer_from for the network that the package ships."""


class TransferSettings(Section):
    """The initial weights, and the layers that are trained."""

    transfer_from: str | None = Field(
        None,
        min_length=1,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="Folder of the run whose weights training starts from: all weights for the same number of "
        "particles, otherwise those whose shape does not depend on it. From a family, a single run takes the member "
        "for its own system, and another family takes the whole network. pretrained: the family that the package "
        "ships; default: random weights.",
    )
    freeze_equivariant: bool = Field(
        defaults.FREEZE_EQUIVARIANT,
        description="Freeze the layers that compute features; train only orbitals and envelope (slater), or the "
        "output weights and the Gaussian (jastrow).",
    )
    release_at: CountOrZero = Field(
        defaults.RELEASE_AT,
        description="Iteration after which the frozen layers are trained too; 0 for never. Early stopping may end "
        "training before it.",
    )
    release_when_converged: bool = Field(
        defaults.RELEASE_WHEN_CONVERGED,
        description="Train the frozen layers too when early stopping would first end training; training then "
        "continues and early stopping starts again.",
    )


def member_to_start_from(source: Any, settings: Any) -> dict[str, Any] | None:
    """Returns which member of a family's run a run starts from: the one of its own system, inside the range or not.

    Args:
        source: `Settings` of the run that weights are transferred from.
        settings: `Settings` of the run that starts.

    Returns:
        The arguments of `Settings.member`; None where both are single systems, or both families.

    Raises:
        SettingsError: a family would start from a single system, or the systems differ in what no family varies; or
            the network of a family is not told of its systems as that of the other one.
    """
    if source.is_family == settings.is_family:
        if settings.is_family:
            _check_families(source, settings)
        return None
    if settings.is_family:
        raise SettingsError("is the run of a single system, which has no weights for others; must be that of a family")
    before, now = source.system.resolved(), settings.system.resolved()
    for leaf, value in now.items():
        if leaf not in VARIED and before[leaf] != value:
            was, is_now = shown_setting(before[leaf]), shown_setting(value)
            raise SettingsError(f"is a family with {leaf} = {was}, the run has {is_now}; must be the same")
    numbers = source.family.n_particles
    if now["n_particles"] not in numbers:
        must_be = described("n_particles", numbers)
        raise SettingsError(f"n_particles = {now['n_particles']}: was not trained; must be {must_be}")
    member = {leaf: now[leaf] for leaf in VARIED} | {"extrapolate": True}
    source.member(**member)
    return member


def inputs_of_network(source: Any) -> dict[str, Any]:
    """Returns setting -> value of what the weights of a family belong to: unit of distances, and scales of its inputs.

    Args:
        source: `Settings` of the run of a family.
    """
    found = {"pair_length": source.ansatz.resolved(source.system)["pair_length"]}
    for leaf, scale in SCALES.items():
        values = getattr(source.family, leaf)
        own = f"{min(values)!r}:{max(values)!r}" if len(values) > 1 else None
        found[scale] = getattr(source.family, scale) or own
    return found


def _check_families(source: Any, settings: Any) -> None:
    """Refuses a family whose network could not be that of the other one: its members would not be the same."""
    if len(source.family.n_particles) > 1 == len(settings.family.n_particles):
        before, now = (shown_setting([*one.family.n_particles]) for one in (source, settings))
        raise SettingsError(f"is a family with n_particles = {before}, the run has {now}; must be several as well")
    given = {leaf: getattr(settings.family, leaf) for leaf in SCALES.values()}
    given["pair_length"] = settings.ansatz.pair_length
    for leaf, value in inputs_of_network(source).items():
        if given[leaf] is not None and value is not None and given[leaf] != value:
            before, now = shown_setting(value), shown_setting(given[leaf])
            raise SettingsError(f"is a family with {leaf} = {before}, the run has {now}; must be the same, or left out")


def check_release(transfer: TransferSettings, iterations: int, early_stopping: str) -> None:
    """Refuses to release layers that are not frozen, or after the end of training.

    Args:
        transfer: the section.
        iterations: of the training.
        early_stopping: its criterion, or none.

    Raises:
        ValueError: two settings contradict each other, in one line.
    """
    for leaf, value in (
        ("release_at", transfer.release_at or None),
        ("release_when_converged", "true" if transfer.release_when_converged else None),
    ):
        if value and not transfer.freeze_equivariant:
            raise ValueError(
                f"{leaf} = {value} contradicts freeze_equivariant = false: nothing is frozen; "
                "must be left out, or be given with freeze_equivariant = true"
            )
    if transfer.release_at >= iterations:
        raise ValueError(
            f"release_at = {transfer.release_at} contradicts iterations = {iterations}: must be below it, or 0"
        )
    if transfer.release_when_converged and early_stopping == "none":
        raise ValueError(
            "release_when_converged = true contradicts early_stopping = none: must be thesis or statistical"
        )
