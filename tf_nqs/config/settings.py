"""The settings of a run, in sections; every default that is physics or numerics comes from `tf_nqs.defaults`.

The descriptions of the fields are the help texts of the flags. Lengths are in a_ho, energies in hbar*omega.
"""

from __future__ import annotations

from typing import Literal, get_type_hints

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from tf_nqs import defaults
from tf_nqs.config.checkpoint import CheckpointSettings
from tf_nqs.config.fields import field_allowed, field_type
from tf_nqs.config.reweighting import ReweightingSettings
from tf_nqs.config.section import LARGEST_COUNT, Count, CountOrZero, Section
from tf_nqs.config.stopping import StoppingSettings
from tf_nqs.config.transfer import TransferSettings, check_release

LARGEST_BY_DTYPE = {"float32": 1e18, "float64": 1e150}
"""Lengths and energies between 1/largest and largest can be squared without leaving the dtype."""


class SystemSettings(Section):
    """The fermions, their trap and their interaction."""

    n_particles: int = Field(ge=1, le=24, description="Number of fermions, A.")
    interaction_strength: float = Field(
        defaults.INTERACTION_STRENGTH,
        description="Strength V_0 of the Gaussian interaction in units of hbar*omega*a_ho; negative attracts.",
    )
    interaction_range: float = Field(
        defaults.INTERACTION_RANGE, gt=0, description="Range sigma_0 of the Gaussian interaction in units of a_ho."
    )
    trap: bool = Field(True, description="Hold the particles in the harmonic trap.")

    def title(self) -> str:
        """Returns what is written above a plot."""
        return f"A = {self.n_particles}, V0 = {self.interaction_strength:g}, sigma0 = {self.interaction_range:g}"

    @model_validator(mode="after")
    def _must_be_bound(self) -> SystemSettings:
        """Without a trap only an attraction has a bound ground state."""
        if not self.trap and self.n_particles == 1:
            raise ValueError(
                "trap = false contradicts n_particles = 1: "
                "without a trap it must be at least 2, or there is no bound ground state"
            )
        if not self.trap and self.interaction_strength >= 0:
            raise ValueError(
                f"trap = false contradicts interaction_strength = {self.interaction_strength}: "
                "without a trap it must be below 0, or there is no bound ground state"
            )
        return self


class AnsatzSettings(Section):
    """The neural network."""

    n_features: Count = Field(defaults.N_FEATURES, description="Number of features of each hidden layer, H.")
    n_layers: Count = Field(defaults.N_LAYERS, description="Number of hidden equivariant layers, L.")
    n_determinants: Count = Field(defaults.N_DETERMINANTS, description="Number of Slater determinants summed, D.")
    dtype: Literal["float32", "float64"] = Field(defaults.DTYPE, description="Floating-point type of all tensors.")


class SamplingSettings(Section):
    """The walkers."""

    sampler: Literal["metropolis", "mala"] = Field(
        defaults.SAMPLER,
        description="How walkers move: by a random walk (metropolis), or along the gradient of |Psi|^2 (mala).",
    )
    n_walkers: int = Field(defaults.N_WALKERS, ge=2, le=LARGEST_COUNT, description="Number of Markov chains.")
    n_steps: Count = Field(defaults.N_STEPS, description="Steps of the sampler between two iterations.")
    n_burn_in: CountOrZero = Field(defaults.N_BURN_IN, description="Steps of the sampler thrown away at the start.")
    proposal_width: float = Field(
        defaults.PROPOSAL_WIDTH,
        gt=0,
        description="First standard deviation of the proposed moves in units of a_ho; it is adapted during training.",
    )
    target_acceptance: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Fraction of accepted moves that the proposal width is adapted to; left out, "
        + ", ".join(f"{share:g} for {name}" for name, share in defaults.TARGET_ACCEPTANCE.items())
        + ".",
    )
    global_moves: bool = Field(
        defaults.GLOBAL_MOVES,
        description="Walkers may also jump to anywhere in the trap, once between two iterations: they find regions "
        "that a node parts from the rest.",
    )
    stuck_steps: CountOrZero = Field(
        defaults.STUCK_STEPS,
        description="A walker that has not moved in this many steps of a training is restarted where another one "
        "stands; 0 for never.",
    )
    sampling_dtype: Literal["ansatz", "float32", "float64"] = Field(
        defaults.SAMPLING_DTYPE,
        description="Floating-point type of sampling alone; float32 speeds up runs of dtype float64.",
    )


class TrainingSettings(Section):
    """The optimisation."""

    iterations: Count = Field(defaults.ITERATIONS, description="Number of optimiser updates.")
    optimizer: Literal["adam", "sr", "minsr", "spring"] = Field(
        defaults.OPTIMIZER,
        description="Adam, or a natural gradient: stochastic reconfiguration over parameters or walkers, "
        "whichever are fewer (sr), the same with memory (spring), or always over walkers (minsr).",
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Learning rate of the optimiser; left out, "
        + ", ".join(f"{rate:g} for {name}" for name, rate in defaults.LEARNING_RATE.items())
        + ".",
    )
    decay_iterations: int | None = Field(
        None,
        ge=0,
        le=LARGEST_COUNT,
        description="The learning rate falls as 1/(1 + iteration/decay_iterations), 0 for a constant one; left out, "
        + ", ".join(f"{count} for {name}" for name, count in defaults.DECAY_ITERATIONS.items())
        + ".",
    )
    damping: float = Field(
        defaults.DAMPING, gt=0, description="Natural gradients: damping added to the Fisher information at the start."
    )
    damping_decay_iterations: CountOrZero = Field(
        defaults.DAMPING_DECAY_ITERATIONS,
        description="The damping falls as 1/(1 + iteration/damping_decay_iterations); 0 for a constant one.",
    )
    momentum: float = Field(
        defaults.MOMENTUM, ge=0, lt=1, description="Spring: share of the last direction that is kept in mind."
    )
    max_step_norm: float = Field(
        defaults.MAX_STEP_NORM, gt=0, description="Natural gradients: longest step, as its Fisher norm."
    )
    leverage_bound: float = Field(
        defaults.LEVERAGE_BOUND,
        ge=0,
        description="Natural gradients: walkers next to a node count as if their scores were this many times as long "
        "as the median walker's; 0 for no bound.",
    )
    laplacian: Literal["auto", "nested", "forward"] = Field(
        defaults.LAPLACIAN,
        description="Method for the Laplacian: nested gradient tapes, one forward pass, or the faster that applies.",
    )
    clip_deviations: float = Field(
        defaults.CLIP_DEVIATIONS,
        ge=0,
        description="Local energies are clipped in the gradient at this many mean absolute deviations from the "
        "median; 0 clips nothing.",
    )
    clip_doubling_iterations: CountOrZero = Field(
        defaults.CLIP_DOUBLING_ITERATIONS,
        description="Iterations in which clip_deviations doubles, so that late gradients are not clipped; 0 keeps it.",
    )
    pretrain_iterations: CountOrZero = Field(
        defaults.PRETRAIN_ITERATIONS, description="Updates that first fit the orbitals to those of free fermions."
    )
    iterations_per_call: Count = Field(
        defaults.ITERATIONS_PER_CALL, description="Iterations run in one compiled call; affects speed only."
    )
    jit_compile: bool = Field(
        defaults.JIT_COMPILE,
        description="Compile the phases of an iteration by XLA; without it a run starts sooner, but is slower.",
    )
    chunk_mebibytes: Count = Field(
        defaults.CHUNK_MEBIBYTES,
        description="Working memory in MiB of local energy, gradient and scores; walkers are taken in chunks where all "
        "at once would need more.",
    )
    max_repairs: CountOrZero = Field(
        defaults.MAX_REPAIRS,
        description="So often a training that breaks down goes back to its last good state and on with shorter steps; "
        "then it ends as failed.",
    )
    max_seconds: float | None = Field(
        None, gt=0, description="Training stops after this many seconds; no bound where it is left out."
    )


class EvaluationSettings(Section):
    """The final measurement and its reference."""

    target_error: float = Field(
        defaults.TARGET_ERROR,
        gt=0,
        description="The final energy is sampled until its standard error is this small, in units of hbar*omega.",
    )
    evaluation_max_seconds: float = Field(
        defaults.EVALUATION_MAX_SECONDS, gt=0, description="Longest time for sampling the final energy, in seconds."
    )
    reference_max_seconds: float = Field(
        defaults.REFERENCE_MAX_SECONDS,
        ge=0,
        description="Longest time for computing a reference energy by diagonalisation, in seconds; 0 computes none.",
    )


class RunSettings(Section):
    """What is not physics: the seed, the run folder and the output."""

    seed: int = Field(defaults.SEED, ge=0, le=2**31 - 1, description="Seed of all random numbers.")
    run_dir: str | None = Field(
        None,
        min_length=1,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="New folder for the results; a dated one in runs/ where it is left out.",
    )
    quiet: bool = Field(False, description="Print nothing but errors.")
    profile: bool = Field(
        False, description="After training, time the phases of an iteration and write profile.csv and profile.png."
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
        """Lengths and energies whose squares under- or overflow would turn into NaN much later."""
        dtype = self.ansatz.dtype
        sampled = dtype if self.sampling.sampling_dtype == "ansatz" else self.sampling.sampling_dtype
        for section, leaf, name, limiting in (
            (self.system, "interaction_strength", "dtype", dtype),
            (self.system, "interaction_range", "dtype", dtype),
            (self.sampling, "proposal_width", "dtype", dtype),
            (self.sampling, "proposal_width", "sampling_dtype", sampled),
        ):
            value, largest = getattr(section, leaf), LARGEST_BY_DTYPE[limiting]
            if value != 0 and not 1 / largest <= abs(value) <= largest:
                raise ValueError(
                    f"{leaf} = {value} contradicts {name} = {limiting}: "
                    f"its size must be from {1 / largest:g} to {largest:g}"
                )
        return self

    @model_validator(mode="after")
    def _must_release_what_is_frozen(self) -> Settings:
        """Nothing is released that is not frozen, and nothing after training."""
        check_release(self.transfer, self.training.iterations, self.stopping.early_stopping)
        return self


SECTIONS: dict[str, type[Section]] = {name: get_type_hints(Settings)[name] for name in Settings.model_fields}
"""Section name -> its model, in order."""

FIELDS: dict[str, FieldInfo] = {
    leaf: field for model in SECTIONS.values() for leaf, field in model.model_fields.items()
}
"""Leaf name -> its field; leaf names are unique over all sections."""

SECTION_OF: dict[str, str] = {leaf: section for section, model in SECTIONS.items() for leaf in model.model_fields}
"""Leaf name -> the name of its section."""


def value_type(leaf: str) -> type:
    """Returns the type of a setting: bool, int, float or str."""
    return field_type(FIELDS[leaf])


def allowed(leaf: str) -> str:
    """Returns what a setting may be, as the end of a sentence that starts with 'must be'."""
    return field_allowed(FIELDS[leaf])
