"""The settings of the wave function: its kind, its sizes and its precision."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tf_nqs import defaults
from tf_nqs.config.fields import named_or_imported
from tf_nqs.config.section import LARGEST_COUNT, Section
from tf_nqs.config.system import SystemSettings
from tf_nqs.named_ansatze import ALL_SIZES, ANSATZE, check_sizes, resolved_sizes


class AnsatzSettings(Section):
    """The neural network."""

    ansatz: str = Field(
        defaults.ANSATZ,
        description="Wave function: determinants (slater), one product of distances and a positive network (jastrow), "
        "or a Keras model of your own.",
        **named_or_imported(ANSATZE, "Class"),
    )
    n_features: int | None = Field(
        None,
        ge=1,
        le=LARGEST_COUNT,
        description="Number of features of each hidden layer, H; default: "
        f"{defaults.N_FEATURES} for slater, {defaults.N_JASTROW_FEATURES} for jastrow.",
    )
    n_layers: int | None = Field(
        None,
        ge=1,
        le=LARGEST_COUNT,
        description=f"Number of hidden equivariant layers, L; default: {defaults.N_LAYERS}.",
    )
    n_determinants: int | None = Field(
        None,
        ge=1,
        le=LARGEST_COUNT,
        description=f"slater: number of Slater determinants summed, D; default: {defaults.N_DETERMINANTS}.",
    )
    n_pair_features: int | None = Field(
        None,
        ge=1,
        le=LARGEST_COUNT,
        description=f"jastrow: number of features of each pair; default: {defaults.N_PAIR_FEATURES}.",
    )
    n_pair_layers: int | None = Field(
        None,
        ge=1,
        le=LARGEST_COUNT,
        description=f"jastrow: number of layers of the pair network; default: {defaults.N_PAIR_LAYERS}.",
    )
    pair_length: float | None = Field(
        None,
        gt=0,
        description="jastrow: unit of the distances in the pair network, in a_ho; default: twice the interaction's "
        f"range, {defaults.PAIR_LENGTH:g} for an interaction without one.",
    )
    dtype: Literal["float32", "float64"] = Field(defaults.DTYPE, description="Floating-point type of all tensors.")

    def resolved(self, system: SystemSettings) -> dict[str, Any]:
        """Returns leaf name -> value, with the sizes that are used where none are given.

        None for a size that the wave function does not have; and for one of the user's own, which has its own defaults.

        Args:
            system: whose interaction sets the default of pair_length.
        """
        sizes = resolved_sizes(self.ansatz, self.model_dump(), system.interaction, system.interaction_range)
        return self.model_dump() | sizes

    @model_validator(mode="after")
    def _must_have_these_sizes(self) -> AnsatzSettings:
        """Refuses sizes that only another wave function has."""
        check_sizes(self.ansatz, {leaf: getattr(self, leaf) for leaf in ALL_SIZES})
        return self


def check_contact_exponent(ansatz: str, system: SystemSettings) -> None:
    """Refuses determinants for an interaction that lets the ground state vanish at contact as another power than 1.

    Args:
        ansatz: the kind of wave function.
        system: its section.

    Raises:
        ValueError: one line that names both.
    """
    exponent = system.named().contact_exponent
    if ansatz == "slater" and exponent != 1:
        raise ValueError(
            f"ansatz = slater contradicts interaction = {system.interaction}: its ground state vanishes as "
            f"|r|^{exponent:g} where two particles meet; must be jastrow"
        )
