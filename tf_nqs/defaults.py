"""Every default of the package, stated once.

Constructors and the settings of `tf_nqs.config` both read them from here, so that the library, `train.py --help`
and the presets cannot disagree. Lengths are in units of a_ho, energies in units of hbar*omega.
"""

# System
INTERACTION_STRENGTH = 0.0
INTERACTION_RANGE = 0.5

# Ansatz
N_FEATURES = 64
N_LAYERS = 2
N_DETERMINANTS = 1
DTYPE = "float32"

# Sampling
N_WALKERS = 1024
N_STEPS = 10
N_BURN_IN = 500
PROPOSAL_WIDTH = 0.5
TARGET_ACCEPTANCE = 0.5

# Training
ITERATIONS = 1000
ITERATIONS_PER_CALL = 10
OPTIMIZER = "spring"
LEARNING_RATE = {"adam": 1e-4, "minsr": 0.1, "sr": 0.1, "spring": 0.1}
LAPLACIAN = "auto"
CLIP_DEVIATIONS = 10.0
DAMPING = 1e-3
MOMENTUM = 0.9
MAX_STEP_NORM = 0.05
PRETRAIN_ITERATIONS = 0
JIT_COMPILE = True

# Evaluation
TARGET_ERROR = 1e-3
EVALUATION_MAX_SECONDS = 120.0
REFERENCE_MAX_SECONDS = 60.0

# Run
SEED = 0
