"""The settings of a run, in sections; every default that is physics or numerics comes from `tf_nqs.defaults`.

The descriptions of the fields are the help texts of the flags. Lengths are in a_ho, energies in hbar*omega.
"""

from __future__ import annotations

from typing import Any, Literal, get_type_hints

from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from tf_nqs import defaults
from tf_nqs.config.ansatz import AnsatzSettings, check_contact_exponent
from tf_nqs.config.checkpoint import CheckpointSettings
from tf_nqs.config.distribution import DistributionSettings
from tf_nqs.config.evaluation import EvaluationSettings
from tf_nqs.config.family import VARIED, FamilySection, FamilySettings
from tf_nqs.config.fields import checked_value, field_allowed, field_type, first_problem
from tf_nqs.config.members import covered_values, member_values
from tf_nqs.config.reweighting import ReweightingSettings
from tf_nqs.config.run import RunSettings
from tf_nqs.config.sampling import SamplingSettings
from tf_nqs.config.section import LARGEST_COUNT, Count, CountOrZero, Section
from tf_nqs.config.stopping import StoppingSettings
from tf_nqs.config.system import SystemSettings
from tf_nqs.config.transfer import TransferSettings, check_release
from tf_nqs.named_ansatze import ALL_SIZES, described_defaults, recipe

LARGEST_BY_DTYPE = {"float32": 1e18, "float64": 1e150}
"""Largest length or energy by dtype; the squares of numbers from 1/largest to largest are finite and not zero."""


class TrainingSettings(Section):
    """The optimisation."""

    iterations: Count = Field(defaults.ITERATIONS, description="Number of optimiser updates.")
    optimizer: Literal["adam", "sr", "minsr", "spring"] = Field(
        defaults.OPTIMIZER,
        description="Adam, or a natural gradient: stochastic reconfiguration (sr), solved over parameters or walkers,"
        " whichever are fewer; sr with SPRING momentum (spring); or sr always solved over walkers "
        "(minsr).",
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description=f"Learning rate of the optimiser; default: {described_defaults('learning_rate')}.",
    )
    decay_iterations: int | None = Field(
        None,
        ge=0,
        le=LARGEST_COUNT,
        description="The learning rate decays as 1/(1 + iteration/decay_iterations); 0 for a constant rate; default: "
        f"{described_defaults('decay_iterations')}.",
    )
    damping: float | None = Field(
        None,
        gt=0,
        description="Natural gradients: initial damping, added to the Fisher information; default: "
        f"{described_defaults('damping')}.",
    )
    damping_decay_iterations: CountOrZero = Field(
        defaults.DAMPING_DECAY_ITERATIONS,
        description="The damping decays as 1/(1 + iteration/damping_decay_iterations); 0 for a constant damping.",
    )
    damping_min: float | None = Field(
        None,
        ge=0,
        description="Natural gradients: minimum damping, below which it does not decay; default: 0; "
        f"{defaults.FAMILY_RECIPE.damping_min:g} for a family.",
    )
    momentum: float | None = Field(
        None, ge=0, lt=1, description=f"SPRING momentum mu; default: {described_defaults('momentum')}."
    )
    max_step_norm: float = Field(
        defaults.MAX_STEP_NORM, gt=0, description="Natural gradients: maximum Fisher norm of a step."
    )
    leverage_bound: float | None = Field(
        None,
        ge=0,
        description="Natural gradients: maximum length of a walker's log-derivatives, in multiples of the median "
        "length; longer ones (next to a node) are shortened. 0 for no limit; default: "
        f"{described_defaults('leverage_bound')}.",
    )
    laplacian: Literal["auto", "nested", "forward"] = Field(
        defaults.LAPLACIAN,
        description="Method for the Laplacian: nested GradientTapes, one forward pass, or the faster available one "
        "(auto).",
    )
    clip_deviations: float = Field(
        defaults.CLIP_DEVIATIONS,
        ge=0,
        description="Clip the local energies of the gradient at this many mean absolute deviations from their median;"
        " 0 for no clipping.",
    )
    clip_doubling_iterations: int | None = Field(
        None,
        ge=0,
        le=LARGEST_COUNT,
        description="Number of iterations in which clip_deviations doubles, so that late gradients are not clipped; "
        f"0 for a constant bound; default: {described_defaults('clip_doubling_iterations')}.",
    )
    pretrain_iterations: CountOrZero = Field(
        defaults.PRETRAIN_ITERATIONS,
        description="slater: number of updates that fit the orbitals to free fermions before training. 0 also "
        "prevents a start inside a narrow attractive well.",
    )
    iterations_per_call: Count = Field(
        defaults.ITERATIONS_PER_CALL,
        description="Number of iterations in one compiled call; changes speed, not results.",
    )
    jit_compile: bool = Field(
        defaults.JIT_COMPILE,
        description="Compile the phases of an iteration with XLA; without it a run starts sooner but is slower.",
    )
    compilation_cache: bool = Field(
        defaults.COMPILATION_CACHE,
        description="Keep traced graphs and compiled code on disk, so that the next run of the same kind starts "
        "sooner.",
    )
    chunk_mebibytes: Count = Field(
        defaults.CHUNK_MEBIBYTES,
        description="Maximum working memory, in MiB, of local energy, gradient and log-derivatives; walkers are "
        "processed in chunks if all of them at once need more.",
    )
    max_repairs: CountOrZero = Field(
        defaults.MAX_REPAIRS,
        description="Maximum number of rollbacks: a diverged training restarts from its last good state with a "
        "smaller step; after that it fails.",
    )
    max_seconds: float | None = Field(None, gt=0, description="Maximum training time in seconds; default: no limit.")


class Settings(Section):
    """All settings of a run."""

    system: SystemSettings
    family: FamilySettings = FamilySettings()
    ansatz: AnsatzSettings = AnsatzSettings()
    sampling: SamplingSettings = SamplingSettings()
    training: TrainingSettings = TrainingSettings()
    reweighting: ReweightingSettings = ReweightingSettings()
    transfer: TransferSettings = TransferSettings()
    stopping: StoppingSettings = StoppingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    distribution: DistributionSettings = DistributionSettings()
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _must_fit_dtype(self) -> Settings:
        """Refuses lengths and energies whose squares under- or overflow: they would become NaN much later."""
        dtype = self.ansatz.dtype
        sampled = dtype if self.sampling.sampling_dtype == "ansatz" else self.sampling.sampling_dtype
        for section, leaf, name, limiting in (
            (self.system, "interaction_strength", "dtype", dtype),
            (self.system, "interaction_range", "dtype", dtype),
            (self.system, "pair_stiffness", "dtype", dtype),
            (self.system, "trap_quartic", "dtype", dtype),
            (self.system, "trap_separation", "dtype", dtype),
            (self.ansatz, "pair_length", "dtype", dtype),
            (self.sampling, "proposal_width", "dtype", dtype),
            (self.sampling, "proposal_width", "sampling_dtype", sampled),
        ):
            value, largest = getattr(section, leaf), LARGEST_BY_DTYPE[limiting]
            if value and not 1 / largest <= abs(value) <= largest:
                raise ValueError(
                    f"{leaf} = {value} contradicts {name} = {limiting}: "
                    f"its size must be from {1 / largest:g} to {largest:g}"
                )
        return self

    @model_validator(mode="after")
    def _must_vanish_at_contact(self) -> Settings:
        """Refuses a kind of wave function that cannot be the ground state of the system."""
        check_contact_exponent(self.ansatz.ansatz, self.system)
        return self

    def resolved(self) -> dict[str, Any]:
        """Returns leaf name -> value of all settings, with the defaults that depend on other settings filled in.

        learning_rate, decay_iterations and target_acceptance stay None where they are left out. A family has lists
        where the system's settings have several values; a single system has no settings of families.
        """
        sections = self.model_dump(exclude=None if self.is_family else {"family"})
        leaves = {leaf: value for section in sections.values() for leaf, value in section.items()}
        sizes = self.ansatz.resolved(self.system)
        return leaves | self.system.resolved() | self.family.varied() | sizes | self._own_recipe()

    def filled(self) -> Settings:
        """Returns the same settings with the sizes of the network and the optimiser's recipe filled in.

        The network of a run thus stays as it was, whatever the defaults of later versions are.
        """
        sizes = {leaf: value for leaf, value in self.ansatz.resolved(self.system).items() if leaf in ALL_SIZES}
        recipe = {leaf: value for leaf, value in self._own_recipe().items() if value or leaf != "damping_min"}
        ansatz, training = self.ansatz.model_copy(update=sizes), self.training.model_copy(update=recipe)
        return self.model_copy(update={"ansatz": ansatz, "training": training})

    def _own_recipe(self) -> dict[str, Any]:
        recipe = self.recipe()
        leaves = ("momentum", "damping", "damping_min", "leverage_bound", "clip_doubling_iterations")
        return {leaf: getattr(recipe, leaf) for leaf in leaves}

    def recipe(self) -> defaults.Recipe:
        """Returns the arguments of the optimiser: those that are given, and else its defaults for this ansatz."""
        known = recipe(self.ansatz.ansatz, self.training.optimizer, self.is_family)
        given = {leaf: getattr(self.training, leaf) for leaf in known._fields}
        return known._replace(**{leaf: value for leaf, value in given.items() if value is not None})

    @property
    def is_family(self) -> bool:
        """Whether one network learns several systems; `system` is then one of them, see `representative`."""
        return bool(self.family.varied())

    def title(self) -> str:
        """Returns what is written above a plot: the system, or the family."""
        return self.system.title(self.family.varied())

    def member(
        self,
        n_particles: int | None = None,
        interaction_strength: float | None = None,
        interaction_range: float | None = None,
        extrapolate: bool = False,
    ) -> Settings:
        """Returns the settings of one member of a family, as those of a run of that system alone.

        The network keeps the unit of distances of the family.

        Args:
            n_particles: A; None where the family has only one.
            interaction_strength: as the interaction has it; None where the family has only one.
            interaction_range: in a_ho; None where the family has only one.
            extrapolate: whether the system may lie outside of what the family covers; slater has orbitals for
                no more particles than it was trained with.

        Raises:
            SettingsError: a value is missing, not covered by the family, or not allowed.
        """
        asked = dict(zip(VARIED, (n_particles, interaction_strength, interaction_range), strict=True))
        covered = covered_values(self.system, self.family.varied())
        most_particles = max(covered["n_particles"]) if self.ansatz.ansatz == "slater" else None
        found = member_values(covered, asked, extrapolate, most_particles)
        sections = self.model_dump() | {"family": {}}
        sections["system"] |= found
        sections["ansatz"]["pair_length"] = self.ansatz.resolved(self.system)["pair_length"]
        try:
            return Settings.model_validate(sections)
        except ValidationError as error:
            raise first_problem(error, found, FIELDS) from error

    @model_validator(mode="after")
    def _must_release_what_is_frozen(self) -> Settings:
        """Refuses to release layers that are not frozen, or after the end of training."""
        check_release(self.transfer, self.training.iterations, self.stopping.early_stopping)
        return self


SECTIONS: dict[str, type[Section]] = {
    name: get_type_hints(Settings)[name] if name != "family" else FamilySection for name in Settings.model_fields
}
"""Section name -> its model, in order; that of a family without what the system's settings say."""

FIELDS: dict[str, FieldInfo] = {
    leaf: field for model in SECTIONS.values() for leaf, field in model.model_fields.items()
}
"""Setting -> its field; names of settings are unique over all sections."""

SECTION_OF: dict[str, str] = {leaf: section for section, model in SECTIONS.items() for leaf in model.model_fields}
"""Setting -> the name of its section."""


def checked(leaf: str, value: Any) -> Any:
    """Returns the value of a setting in its own type, whatever the other settings are.

    Raises:
        SettingsError: it is not allowed.
    """
    return checked_value(leaf, value, FIELDS[leaf])


def value_type(leaf: str) -> type:
    """Returns the type of a setting: bool, int, float or str."""
    return field_type(FIELDS[leaf])


def allowed(leaf: str) -> str:
    """Returns the allowed values of a setting, as the end of a sentence that starts with 'must be'."""
    return field_allowed(FIELDS[leaf])
