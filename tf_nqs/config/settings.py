"""The settings of a run, in sections; every default that is physics or numerics comes from `tf_nqs.defaults`.

The descriptions of the fields are the help texts of the flags. Lengths are in a_ho, energies in hbar*omega.
"""

from __future__ import annotations

from typing import Any, Literal, get_type_hints

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from tf_nqs import defaults
from tf_nqs.config.ansatz import AnsatzSettings, check_contact_zone
from tf_nqs.config.checkpoint import CheckpointSettings
from tf_nqs.config.fields import checked_value, field_allowed, field_type
from tf_nqs.config.reweighting import ReweightingSettings
from tf_nqs.config.section import LARGEST_COUNT, Count, CountOrZero, Section
from tf_nqs.config.stopping import StoppingSettings
from tf_nqs.config.system import SystemSettings
from tf_nqs.config.transfer import TransferSettings, check_release
from tf_nqs.named_ansatze import ALL_SIZES, described_defaults, recipe
from tf_nqs.whole_numbers import FEWEST_WALKERS

LARGEST_BY_DTYPE = {"float32": 1e18, "float64": 1e150}
"""Largest length or energy by dtype; the squares of numbers from 1/largest to largest are finite and not zero."""


class SamplingSettings(Section):
    """The walkers."""

    sampler: Literal["metropolis", "mala"] = Field(
        defaults.SAMPLER,
        description="How walkers move: by a random walk (metropolis), or along the gradient of |Psi|^2 (mala).",
    )
    n_walkers: int = Field(
        defaults.N_WALKERS, ge=FEWEST_WALKERS, le=LARGEST_COUNT, description="Number of Markov chains."
    )
    n_steps: Count = Field(defaults.N_STEPS, description="Metropolis steps per iteration.")
    n_burn_in: CountOrZero = Field(
        defaults.N_BURN_IN, description="Metropolis steps before the first iteration, and before a measurement."
    )
    proposal_width: float = Field(
        defaults.PROPOSAL_WIDTH,
        gt=0,
        description="Initial standard deviation of the proposed moves in units of a_ho; training adapts it.",
    )
    target_acceptance: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Acceptance to which the proposal width is adapted; default: "
        + ", ".join(f"{share:g} for {name}" for name, share in defaults.TARGET_ACCEPTANCE.items())
        + ".",
    )
    global_moves: bool = Field(
        defaults.GLOBAL_MOVES,
        description="Add one independence proposal per iteration, so that walkers cross nodes.",
    )
    stuck_steps: CountOrZero = Field(
        defaults.STUCK_STEPS,
        description="Number of steps without a move after which a walker restarts at the position of another one; "
        "0 for never.",
    )
    sampling_dtype: Literal["ansatz", "float32", "float64"] = Field(
        defaults.SAMPLING_DTYPE,
        description="Floating-point type of sampling; float32 speeds up runs with dtype = float64.",
    )


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
    clip_doubling_iterations: CountOrZero = Field(
        defaults.CLIP_DOUBLING_ITERATIONS,
        description="Number of iterations in which clip_deviations doubles, so that late gradients are not clipped; "
        "0 for a constant bound.",
    )
    pretrain_iterations: CountOrZero = Field(
        defaults.PRETRAIN_ITERATIONS,
        description="slater: number of updates that fit the orbitals to free fermions before training. 0 also keeps a "
        "run from starting in a narrow well of the interaction.",
    )
    iterations_per_call: Count = Field(
        defaults.ITERATIONS_PER_CALL,
        description="Number of iterations in one compiled call; changes speed, not results.",
    )
    jit_compile: bool = Field(
        defaults.JIT_COMPILE,
        description="Compile the phases of an iteration with XLA; without it a run starts sooner but is slower.",
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


class EvaluationSettings(Section):
    """The final measurement and its reference."""

    target_error: float = Field(
        defaults.TARGET_ERROR,
        gt=0,
        description="Standard error to which the final energy is measured, in units of hbar*omega.",
    )
    evaluation_max_seconds: float = Field(
        defaults.EVALUATION_MAX_SECONDS, gt=0, description="Maximum time for measuring the final energy, in seconds."
    )
    reference_max_seconds: float = Field(
        defaults.REFERENCE_MAX_SECONDS,
        ge=0,
        description="Maximum time for computing a reference energy by diagonalisation, in seconds; 0 for no reference.",
    )


class RunSettings(Section):
    """The seed, the run folder and the output."""

    seed: int = Field(defaults.SEED, ge=0, le=2**31 - 1, description="Seed of all random numbers.")
    run_dir: str | None = Field(
        None,
        min_length=1,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="New folder for the results; default: a dated one in runs/.",
    )
    quiet: bool = Field(False, description="Print only errors.")
    profile: bool = Field(
        False,
        description="Measure the time of each phase of an iteration after training; writes profile.csv, profile.png.",
    )


class Settings(Section):
    """All settings of a run."""

    system: SystemSettings
    ansatz: AnsatzSettings = AnsatzSettings()
    sampling: SamplingSettings = SamplingSettings()
    training: TrainingSettings = TrainingSettings()
    reweighting: ReweightingSettings = ReweightingSettings()
    transfer: TransferSettings = TransferSettings()
    stopping: StoppingSettings = StoppingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
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
        check_contact_zone(self.ansatz.ansatz, self.system)
        return self

    def resolved(self) -> dict[str, Any]:
        """Returns leaf name -> value of all settings, with the defaults that depend on other settings filled in.

        learning_rate, decay_iterations and target_acceptance stay None where they are left out.
        """
        leaves = {leaf: value for section in self.model_dump().values() for leaf, value in section.items()}
        return leaves | self.system.resolved() | self.ansatz.resolved(self.system) | self._own_recipe()

    def filled(self) -> Settings:
        """Returns the same settings with the sizes of the network and the optimiser's recipe filled in.

        The network of a run thus stays as it was, whatever the defaults of later versions are.
        """
        sizes = {leaf: value for leaf, value in self.ansatz.resolved(self.system).items() if leaf in ALL_SIZES}
        ansatz, training = self.ansatz.model_copy(update=sizes), self.training.model_copy(update=self._own_recipe())
        return self.model_copy(update={"ansatz": ansatz, "training": training})

    def _own_recipe(self) -> dict[str, Any]:
        recipe = self.recipe()
        return {leaf: getattr(recipe, leaf) for leaf in ("momentum", "damping", "leverage_bound")}

    def recipe(self) -> defaults.Recipe:
        """Returns the arguments of the optimiser: those that are given, and else its defaults for this ansatz."""
        known = recipe(self.ansatz.ansatz, self.training.optimizer)
        given = {leaf: getattr(self.training, leaf) for leaf in known._fields}
        return known._replace(**{leaf: value for leaf, value in given.items() if value is not None})

    @model_validator(mode="after")
    def _must_release_what_is_frozen(self) -> Settings:
        """Refuses to release layers that are not frozen, or after the end of training."""
        check_release(self.transfer, self.training.iterations, self.stopping.early_stopping)
        return self


SECTIONS: dict[str, type[Section]] = {name: get_type_hints(Settings)[name] for name in Settings.model_fields}
"""Section name -> its model, in order."""

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
