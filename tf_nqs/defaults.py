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
N_WALKERS = 4096
N_STEPS = 10
N_BURN_IN = 500
PROPOSAL_WIDTH = 0.5
TARGET_ACCEPTANCE = 0.5

# Training
ITERATIONS = 10_000
ITERATIONS_PER_CALL = 10
OPTIMIZER = "adam"
LEARNING_RATE = 1e-4
LAPLACIAN = "auto"
CLIP_DEVIATIONS = 5.0
PRETRAIN_ITERATIONS = 0

# Evaluation
TARGET_ERROR = 1e-3
EVALUATION_MAX_SECONDS = 120.0
REFERENCE_MAX_SECONDS = 60.0
