"""Every default of the package, stated once.

Constructors and the settings of `tf_nqs.config` both use them, so that the library and `train.py --help` agree. Lengths
are in units of a_ho, energies in units of hbar*omega.
"""

from typing import Final, NamedTuple

MOMENTUM = 0.9
DAMPING = 3e-2
LEVERAGE_BOUND = 3.0
CLIP_DOUBLING_ITERATIONS = 50


class Recipe(NamedTuple):
    """Default arguments of an optimiser and of the clipping of its residuals, for one kind of wave function."""

    learning_rate: float
    decay_iterations: int
    momentum: float = MOMENTUM
    damping: float = DAMPING
    leverage_bound: float = LEVERAGE_BOUND
    damping_min: float = 0.0
    clip_doubling_iterations: int = CLIP_DOUBLING_ITERATIONS


# System
INTERACTION: Final = "gaussian"
INTERACTION_STRENGTH = 0.0
INTERACTION_RANGE = 0.5
PAIR_STIFFNESS = 0.0
TRAP: Final = "harmonic"
TRAP_QUARTIC = 0.1
TRAP_SEPARATION = 2.0

# Family
N_CONDITIONS = 16
WALKERS_PER_CONDITION = 32
DRIFT = 0.1
MARGIN = 0.05
AVERAGE_DECAY = 0.99

# Ansatz
ANSATZ: Final = "slater"
N_FEATURES = 64
N_LAYERS = 2
N_DETERMINANTS = 1
N_JASTROW_FEATURES = 16
N_PAIR_FEATURES = 16
N_PAIR_LAYERS = 2
N_CONDITION_FEATURES = 16
CONDITION_START = 0.05
PAIR_LENGTH = 1.0
CONTACT_EXPONENT = 1.0
DTYPE: Final = "float32"

# Sampling
SAMPLER: Final = "metropolis"
N_WALKERS = 512
N_STEPS = 10
N_BURN_IN = 500
PROPOSAL_WIDTH = 0.5
SAMPLING_DTYPE: Final = "ansatz"
GLOBAL_MOVES = True
STUCK_STEPS = 500
TARGET_ACCEPTANCE = {"metropolis": 0.5, "mala": 0.6}

# Training
ITERATIONS = 1000
ITERATIONS_PER_CALL = 10
OPTIMIZER: Final = "spring"
LAPLACIAN: Final = "auto"
CLIP_DEVIATIONS = 10.0
DAMPING_DECAY_ITERATIONS = 10
RECIPES: Final = {
    ("slater", "adam"): Recipe(1e-4, 0),
    ("slater", "minsr"): Recipe(0.2, 100),
    ("slater", "sr"): Recipe(0.2, 100),
    ("slater", "spring"): Recipe(0.2, 100),
    ("jastrow", "adam"): Recipe(1e-3, 0, clip_doubling_iterations=100),
    ("jastrow", "minsr"): Recipe(0.1, 50, damping=1e-2, clip_doubling_iterations=100),
    ("jastrow", "sr"): Recipe(0.1, 50, damping=1e-2, clip_doubling_iterations=100),
    ("jastrow", "spring"): Recipe(0.1, 50, damping=1e-2, clip_doubling_iterations=100),
}
FAMILY_RECIPE: Final = Recipe(0.2, 300, damping_min=3e-5)
OPTIMIZERS = tuple(name for kind, name in RECIPES if kind == ANSATZ)
MAX_STEP_NORM = 0.05
PRETRAIN_ITERATIONS = 60
MAX_REPAIRS = 5
JIT_COMPILE = True
COMPILATION_CACHE = True
CHUNK_MEBIBYTES = 1024

# Early stopping: thresholds and counters from the thesis, for four particles
EARLY_STOPPING: Final = "none"
WINDOW = 1000
MAX_SLOPE = 3e-7
MAX_SLOPE_DIFFERENCE = 3e-6
MAX_MEAN_DIFFERENCE = 1e-3
MAX_VARIANCE = 3e-3
MAX_SPREAD = 3e-3
N_SUCCESSES = 4
N_FAILURES = 2
GAIN_TOLERANCE = 1e-3
CONFIDENCE = 0.95
RESTORE_BEST = False

# Re-weighting
RESAMPLING: Final = "every_iteration"
SENSITIVITY = 1e-2
LONGEST_WAIT = 100
SHORTEST_WAIT = 1
CUT_OFF = 0.0
LEAST_EFFECTIVE_FRACTION = 0.9
LARGEST_WEIGHT = 5.0
LARGEST_FALL = 0.5

# Transfer
FREEZE_EQUIVARIANT = False
RELEASE_AT = 0
RELEASE_WHEN_CONVERGED = False

# Evaluation
TARGET_ERROR = 1e-3
EVALUATION_MAX_SECONDS = 120.0
REFERENCE: Final = "auto"
REFERENCE_MAX_SECONDS = 60.0

# Diffusion: time steps in 1/omega, and the limits of both; walkers are those of each time step
DIFFUSION_TIME_STEPS = (0.04, 0.02, 0.01, 0.005)
SHORTEST_TIME_STEP = 1e-4
LONGEST_TIME_STEP = 1.0
N_DIFFUSION_WALKERS = 512
FEWEST_DIFFUSION_WALKERS = 32

# Checkpoints
CHECKPOINT_MINUTES = 5.0
CHECKPOINT_ITERATIONS = 0
CHECKPOINTS_KEPT = 3

# Devices and machines
STRATEGY: Final = "none"
WORKER_TIMEOUT = 600.0

# Run
SEED = 0
