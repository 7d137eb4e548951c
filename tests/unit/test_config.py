"""Settings, presets, TOML, flags and run folders, in one process."""

from __future__ import annotations

import ast
import math
import re
import shlex
import sys
import tempfile
import tomllib
from datetime import date
from pathlib import Path

import pydantic
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tf_nqs import config, defaults
from tf_nqs.commands import train as cli
from tf_nqs.commands.command import all_flags, help_text
from tf_nqs.config import Settings, SettingsError, settings_from, to_toml
from tf_nqs.config import load as config_load
from tf_nqs.config import settings as config_settings
from tf_nqs.config.chain import is_chain
from tf_nqs.config.resume import comparable, differences
from tf_nqs.config.settings import FIELDS, SECTION_OF, SECTIONS
from tf_nqs.named_ansatze import ALL_SIZES, ANSATZE
from tf_nqs.named_systems import trap_name
from tf_nqs.storage.run_folder import RunFolder, default_run_dir

REPOSITORY = Path(__file__).resolve().parents[2]
PRESETS = [path for path in sorted((REPOSITORY / "configs").glob("*.toml")) if path.stem != "tune"]  # a search
FAMILIES = [path for path in PRESETS if path.stem.startswith("family") or path.stem == "pretrained"]
NOT_IN_DEFAULTS = {
    "target_acceptance",
    "learning_rate",
    "decay_iterations",
    "interaction_range",
    "n_features",
    "n_layers",
    "n_determinants",
    "n_pair_features",
    "n_pair_layers",
    "pair_length",
    "damping",
    "damping_min",
    "momentum",
    "leverage_bound",
    "clip_doubling_iterations",
    "strength_scale",
    "range_scale",
    "run_dir",
    "quiet",
    "profile",
    "max_seconds",
    "transfer_from",
    "n_devices",
}
"""Settings whose default is a literal beside the field: switches and None."""

ALL_CHANGED = {
    "optimizer": "adam",
    "decay_iterations": 50,
    "damping": 0.01,
    "damping_min": 1e-4,
    "damping_decay_iterations": 30,
    "leverage_bound": 5.0,
    "momentum": 0.5,
    "max_step_norm": 0.2,
    "jit_compile": False,
    "compilation_cache": False,
    "chunk_mebibytes": 64,
    "strategy": "mirrored",
    "n_devices": 2,
    "worker_timeout": 30.0,
    "n_particles": 3,
    "interaction_strength": -7.25,
    "interaction": "soft_coulomb",
    "interaction_range": 0.1,
    "pair_stiffness": 0.25,
    "trap": "double_well",
    "trap_quartic": 0.3,
    "trap_separation": 1.5,
    "n_features": 8,
    "n_layers": 1,
    "n_determinants": 3,
    "ansatz": "mypackage:MyAnsatz",
    "n_pair_features": 5,
    "n_pair_layers": 1,
    "pair_length": 0.75,
    "dtype": "float64",
    "n_conditions": 8,
    "walkers_per_condition": 5,
    "drift": 0.2,
    "margin": 0.1,
    "average_decay": 0.9,
    "strength_scale": "-7.5:20.0",
    "range_scale": "0.25:1.0",
    "sampler": "mala",
    "n_walkers": 12,
    "n_steps": 7,
    "n_burn_in": 0,
    "proposal_width": 1e-5,
    "global_moves": False,
    "stuck_steps": 100,
    "sampling_dtype": "float32",
    "target_acceptance": 0.3,
    "iterations": 123,
    "learning_rate": 1 / 3,
    "laplacian": "nested",
    "clip_deviations": 0.0,
    "clip_doubling_iterations": 7,
    "pretrain_iterations": 5,
    "iterations_per_call": 1,
    "max_seconds": 12.5,
    "max_repairs": 0,
    "resampling": "guarded",
    "sensitivity": 1e-3,
    "longest_wait": 50,
    "shortest_wait": 2,
    "cut_off": 0.1,
    "least_effective_fraction": 0.5,
    "largest_weight": 3.0,
    "largest_fall": 1.5,
    "early_stopping": "statistical",
    "window": 1001,
    "max_slope": 1e-8,
    "max_slope_difference": 1e-8,
    "max_mean_difference": 1e-5,
    "max_variance": 1e-5,
    "max_spread": 1e-5,
    "n_successes": 1,
    "n_failures": 0,
    "gain_tolerance": 1e-5,
    "confidence": 0.5,
    "restore_best": True,
    "checkpoint_minutes": 0.5,
    "checkpoint_iterations": 100,
    "checkpoints_kept": 2,
    "target_error": 1e-7,
    "evaluation_max_seconds": 1e16,
    "reference": "diffusion",
    "reference_max_seconds": 0.0,
    "seed": 2**31 - 1,
    "run_dir": 'a "quoted" \\back\\slash, ü and 🙂',
    "quiet": True,
    "profile": True,
    "transfer_from": "runs/a2",
    "freeze_equivariant": True,
    "release_at": 100,
    "release_when_converged": True,
}
"""A value other than the default for every setting that has more than one."""

NEEDED_BESIDE = {
    "n_pair_features": {"ansatz": "jastrow"},
    "n_pair_layers": {"ansatz": "jastrow"},
    "pair_length": {"ansatz": "jastrow"},
    "trap_quartic": {"trap": "quartic"},
    "trap_separation": {"trap": "double_well"},
    **{leaf: {"n_particles": [4, 5]} for leaf in SECTIONS["family"].model_fields},
    **{leaf: {"interaction_strength": [1.0, 2.0]} for leaf in ("drift", "margin")},
    "release_at": {"freeze_equivariant": True},
    "release_when_converged": {"freeze_equivariant": True, "early_stopping": "thesis"},
}
"""Setting -> what its changed value contradicts nothing with."""

CHANGED_TOGETHER = {
    leaf: value for leaf, value in ALL_CHANGED.items() if leaf != "trap_quartic" and SECTION_OF[leaf] != "family"
}
"""All changed values of a single system but for one: no trap has both parameters."""


def leaves(settings: Settings) -> dict[str, object]:
    """Returns leaf name -> value of all settings, as they are given: lists where there are several values."""
    values = {leaf: getattr(getattr(settings, section), leaf) for leaf, section in SECTION_OF.items()}
    return values | settings.family.varied()


def leaves_of_one(settings: Settings) -> dict[str, object]:
    """Returns leaf name -> value of all settings that a single system has."""
    return {leaf: value for leaf, value in leaves(settings).items() if SECTION_OF[leaf] != "family"}


def refusal(overrides: dict[str, object], config_file: str | Path | None = None) -> str:
    """Returns the one line that refuses some settings."""
    with pytest.raises(SettingsError) as caught:
        settings_from(config_file, overrides)
    line = str(caught.value)
    assert line.isprintable() and line.strip()
    return line


# --- the fields -------------------------------------------------------------------------------------------------


def test_the_sections_and_unique_leaf_names():
    assert list(SECTIONS) == [
        "system",
        "family",
        "ansatz",
        "sampling",
        "training",
        "reweighting",
        "transfer",
        "stopping",
        "evaluation",
        "checkpoint",
        "distribution",
        "run",
    ]
    assert sum(len(model.model_fields) for model in SECTIONS.values()) == len(FIELDS)
    assert set(FIELDS) & set(SECTIONS) == {"ansatz"}  # in a file a text is the setting, a table the section


def test_every_default_comes_from_defaults():
    """No field states its default again: it refers to the constant of its own name in `tf_nqs.defaults`."""
    seen = {}
    files = {Path(sys.modules[model.__module__].__file__) for model in SECTIONS.values()}
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call):
            call = node.value
            if isinstance(call.func, ast.Name) and call.func.id == "Field":
                assert not {"default", "default_factory"} & {keyword.arg for keyword in call.keywords}
                seen[node.target.id] = ast.unparse(call.args[0]) if call.args else None
    assert set(seen) == set(FIELDS)
    assert seen.pop("n_particles") is None
    for leaf, default in seen.items():
        if leaf not in NOT_IN_DEFAULTS:
            assert default == f"defaults.{leaf.upper()}"
    constants = {name.lower() for name in vars(defaults) if name.isupper()} - {
        "n_jastrow_features",  # n_features of one kind of wave function
        "contact_exponent",  # of a constructor; the settings take it from the system
        "recipes",  # learning_rate to damping_min
        *("family_recipe", "optimizers"),
        *("n_condition_features", "condition_start"),  # of a constructor
        *("diffusion_time_steps", "shortest_time_step", "longest_time_step"),  # flags of diffuse
        *("n_diffusion_walkers", "fewest_diffusion_walkers"),
    }
    assert constants <= set(FIELDS), "a default that no setting reads"


def test_defaults_reach_the_settings():
    values = leaves(settings_from(None, {"n_particles": 2}))
    for leaf in set(FIELDS) - NOT_IN_DEFAULTS - {"n_particles"}:
        assert values[leaf] == getattr(defaults, leaf.upper())
    assert {leaf: values[leaf] for leaf in NOT_IN_DEFAULTS} == {
        "interaction_range": None,
        "target_acceptance": None,
        "learning_rate": None,
        "decay_iterations": None,
        **dict.fromkeys(
            (*ALL_SIZES, "damping", "damping_min", "momentum", "leverage_bound", "clip_doubling_iterations")
        ),
        "n_devices": None,
        "run_dir": None,
        "quiet": False,
        "profile": False,
        "max_seconds": None,
        "transfer_from": None,
        "strength_scale": None,
        "range_scale": None,
    }


def test_settings_are_frozen():
    settings = settings_from(None, {"n_particles": 2})
    with pytest.raises(pydantic.ValidationError):
        settings.system.n_particles = 3
    with pytest.raises(pydantic.ValidationError):
        settings.system = settings.system


@pytest.mark.parametrize("leaf", FIELDS)
def test_every_description_is_one_sentence(leaf):
    description = FIELDS[leaf].description
    assert description and description.isprintable() and description.endswith(".")


# --- values -----------------------------------------------------------------------------------------------------

REFUSED = [
    ("n_particles", 2.5, "n_particles = 2.5: must be an integer from 1 to 64"),
    ("n_particles", 4.0, "n_particles = 4.0: must be an integer from 1 to 64"),
    ("n_particles", "4", "n_particles = '4': must be an integer from 1 to 64"),
    ("n_particles", True, "n_particles = true: must be an integer from 1 to 64"),
    ("n_particles", 0, "n_particles = 0: must be an integer from 1 to 64"),
    ("n_particles", 65, "n_particles = 65: must be an integer from 1 to 64"),
    ("n_particles", None, "n_particles = None: must be an integer from 1 to 64"),
    ("n_particles", [4], "n_particles = [4]: must be an integer from 1 to 64"),
    ("n_particles", date(2024, 1, 2), "n_particles = datetime.date(2024, 1, 2): must be an integer from 1 to 64"),
    ("n_particles", 10**5000, "n_particles = a huge int: must be an integer from 1 to 64"),
    ("interaction_strength", math.nan, "interaction_strength = nan: must be a finite number"),
    ("interaction_strength", math.inf, "interaction_strength = inf: must be a finite number"),
    ("interaction_strength", 10**400, "must be a finite number"),
    ("interaction_strength", True, "interaction_strength = true: must be a finite number"),
    ("interaction_range", 0.0, "interaction_range = 0.0: must be a finite number above 0"),
    (
        "interaction",
        "cosine",
        "interaction = 'cosine': must be one of gaussian, harmonic, coth, calogero, soft_coulomb",
    ),
    ("interaction", "Gaussian", "interaction = 'Gaussian': must be one of"),
    ("interaction", "my-module:f", "none, or module:function"),
    ("interaction", "module:", "none, or module:function"),
    ("interaction", True, "interaction = true: must be one of"),
    ("pair_stiffness", math.nan, "pair_stiffness = nan: must be a finite number"),
    (
        "pair_stiffness",
        -0.25,
        "pair_stiffness = -0.25 contradicts trap = harmonic: must be above -1/n_particles = -0.25",
    ),
    ("trap", 1, "trap = 1: must be one of harmonic, none, double_well, quartic, or true or false"),
    ("trap", "false", "trap = 'false': must be one of harmonic, none, double_well, quartic, or true or false"),
    ("trap_quartic", 0.0, "trap_quartic = 0.0: must be a finite number above 0"),
    ("trap_quartic", 0.2, "trap_quartic = 0.2 contradicts trap = harmonic, which has none: must be left out"),
    ("trap_separation", -1.0, "trap_separation = -1.0: must be a finite number above 0"),
    ("n_layers", 0, "n_layers = 0: must be an integer from 1 to"),
    ("n_features", 0, "n_features = 0: must be an integer from 1 to"),
    ("n_determinants", -1, "n_determinants = -1: must be an integer from 1 to"),
    ("ansatz", "jastro", "ansatz = 'jastro': must be one of slater, jastrow, or module:Class"),
    ("ansatz", "my-module:A", "ansatz = 'my-module:A': must be one of slater, jastrow, or module:Class"),
    ("ansatz", True, "ansatz = true: must be one of slater, jastrow, or module:Class"),
    ("n_pair_features", 0, "n_pair_features = 0: must be an integer from 1 to"),
    ("n_pair_features", 4, "n_pair_features = 4: has no meaning for ansatz = slater; must be left out"),
    ("n_pair_layers", 0, "n_pair_layers = 0: must be an integer from 1 to"),
    ("pair_length", 0.0, "pair_length = 0.0: must be a finite number above 0"),
    ("dtype", "float16", "dtype = 'float16': must be one of float32, float64"),
    ("n_conditions", 0, "n_conditions = 0: must be an integer from 1 to"),
    ("n_conditions", 8, "n_conditions = 8 contradicts a single system: must be left out"),
    ("walkers_per_condition", 1, "walkers_per_condition = 1: must be an integer from 2 to"),
    ("drift", -0.1, "drift = -0.1: must be a finite number of at least 0"),
    ("drift", 1.0, "drift = 1.0: must be a finite number of at least 0 and below 1"),
    ("margin", 1.5, "margin = 1.5: must be a finite number of at least 0 and below 1"),
    ("average_decay", 1.0, "average_decay = 1.0: must be a finite number of at least 0 and below 1"),
    ("strength_scale", "5:-5", "strength_scale = '5:-5': must be a range low:high of two finite numbers"),
    ("strength_scale", "-5:inf", "strength_scale = '-5:inf': must be a range low:high of two finite numbers"),
    ("strength_scale", 5, "strength_scale = 5: must be a range low:high of two finite numbers"),
    ("range_scale", "0:1", "range_scale = '0:1': must be a range low:high of two finite numbers above 0"),
    ("range_scale", "1", "range_scale = '1': must be a range low:high of two finite numbers above 0"),
    ("sampler", "hmc", "sampler = 'hmc': must be one of metropolis, mala"),
    ("n_walkers", 1, "n_walkers = 1: must be an integer from 2 to"),
    ("n_steps", 0, "n_steps = 0: must be an integer from 1 to"),
    ("n_burn_in", -1, "n_burn_in = -1: must be an integer from 0 to"),
    ("proposal_width", -0.5, "proposal_width = -0.5: must be a finite number above 0"),
    ("target_acceptance", 0.0, "target_acceptance = 0.0: must be a finite number above 0 and below 1"),
    ("target_acceptance", 1, "target_acceptance = 1: must be a finite number above 0 and below 1"),
    ("iterations", 0, "iterations = 0: must be an integer from 1 to"),
    ("iterations", 10**30, "must be an integer from 1 to"),
    ("optimizer", "sgd", "optimizer = 'sgd': must be one of adam, sr, minsr, spring"),
    ("learning_rate", 0, "learning_rate = 0: must be a finite number above 0"),
    ("decay_iterations", -1, "decay_iterations = -1: must be an integer from 0 to"),
    ("damping", 0.0, "damping = 0.0: must be a finite number above 0"),
    ("damping_decay_iterations", -1, "damping_decay_iterations = -1: must be an integer from 0 to"),
    ("leverage_bound", -1, "leverage_bound = -1: must be a finite number of at least 0"),
    ("damping_min", -1.0, "damping_min = -1.0: must be a finite number of at least 0"),
    ("momentum", 1.0, "momentum = 1.0: must be a finite number of at least 0 and below 1"),
    ("max_step_norm", -1, "max_step_norm = -1: must be a finite number above 0"),
    ("jit_compile", 1, "jit_compile = 1: must be true or false"),
    ("compilation_cache", "yes", "compilation_cache = 'yes': must be true or false"),
    ("chunk_mebibytes", 0, "chunk_mebibytes = 0: must be an integer from 1 to"),
    ("strategy", "horovod", "strategy = 'horovod': must be one of none, mirrored, multi_worker"),
    ("n_devices", 0, "n_devices = 0: must be an integer from 1 to 64"),
    ("worker_timeout", 0, "worker_timeout = 0: must be a finite number above 0 and at most 86400"),
    ("worker_timeout", 86401, "worker_timeout = 86401: must be a finite number above 0 and at most 86400"),
    ("global_moves", "far", "global_moves = 'far': must be true or false"),
    ("stuck_steps", -1, "stuck_steps = -1: must be an integer from 0 to"),
    ("sampling_dtype", "half", "sampling_dtype = 'half': must be one of ansatz, float32, float64"),
    ("laplacian", "fast", "laplacian = 'fast': must be one of auto, nested, forward"),
    ("clip_deviations", -1, "clip_deviations = -1: must be a finite number of at least 0"),
    ("clip_doubling_iterations", -1, "clip_doubling_iterations = -1: must be an integer from 0 to"),
    ("pretrain_iterations", -1, "pretrain_iterations = -1: must be an integer from 0 to"),
    ("iterations_per_call", 0, "iterations_per_call = 0: must be an integer from 1 to"),
    ("max_repairs", -1, "max_repairs = -1: must be an integer from 0 to"),
    ("max_seconds", 0, "max_seconds = 0: must be a finite number above 0"),
    ("resampling", "sometimes", "resampling = 'sometimes': must be one of every_iteration, thesis, guarded"),
    ("sensitivity", 0, "sensitivity = 0: must be a finite number above 0"),
    ("longest_wait", 0, "longest_wait = 0: must be an integer from 1 to"),
    ("shortest_wait", 0, "shortest_wait = 0: must be an integer from 1 to"),
    ("cut_off", -0.1, "cut_off = -0.1: must be a finite number of at least 0"),
    ("least_effective_fraction", 1, "least_effective_fraction = 1: must be a finite number of at least 0 and below 1"),
    ("largest_weight", 1, "largest_weight = 1: must be a finite number above 1"),
    ("largest_fall", 0, "largest_fall = 0: must be a finite number above 0"),
    ("checkpoint_minutes", -1, "checkpoint_minutes = -1: must be a finite number of at least 0"),
    ("checkpoint_iterations", -1, "checkpoint_iterations = -1: must be an integer from 0 to"),
    ("checkpoints_kept", 0, "checkpoints_kept = 0: must be an integer from 1 to 1000"),
    ("early_stopping", "always", "early_stopping = 'always': must be one of none, thesis, statistical"),
    ("window", 9, "window = 9: must be an integer from 10 to"),
    ("max_slope", 0, "max_slope = 0: must be a finite number above 0"),
    ("max_slope_difference", 0, "max_slope_difference = 0: must be a finite number above 0"),
    ("max_mean_difference", -1, "max_mean_difference = -1: must be a finite number above 0"),
    ("max_variance", 0, "max_variance = 0: must be a finite number above 0"),
    ("max_spread", 0, "max_spread = 0: must be a finite number above 0"),
    ("n_successes", 0, "n_successes = 0: must be an integer from 1 to"),
    ("n_failures", -1, "n_failures = -1: must be an integer from 0 to"),
    ("gain_tolerance", 0, "gain_tolerance = 0: must be a finite number above 0"),
    ("confidence", 1.0, "confidence = 1.0: must be a finite number above 0 and below 1"),
    ("restore_best", 1, "restore_best = 1: must be true or false"),
    ("target_error", 0, "target_error = 0: must be a finite number above 0"),
    ("evaluation_max_seconds", 0, "evaluation_max_seconds = 0: must be a finite number above 0"),
    ("reference", "free", "reference = 'free': must be one of auto, exact, diffusion, none"),
    ("reference_max_seconds", -1, "reference_max_seconds = -1: must be a finite number of at least 0"),
    ("seed", -1, "seed = -1: must be an integer from 0 to 2147483647"),
    ("seed", 2**31, "seed = 2147483648: must be an integer from 0 to 2147483647"),
    ("run_dir", "", "run_dir = '': must be non-empty text without control characters"),
    ("run_dir", "a\nb", r"run_dir = 'a\nb': must be non-empty text without control characters"),
    ("run_dir", "\udcff", r"run_dir = '\udcff': must be non-empty text without control characters"),
    ("quiet", "yes", "quiet = 'yes': must be true or false"),
    ("profile", 1, "profile = 1: must be true or false"),
    ("transfer_from", "", "transfer_from = '': must be non-empty text without control characters"),
    ("freeze_equivariant", 1, "freeze_equivariant = 1: must be true or false"),
    ("release_at", -1, "release_at = -1: must be an integer from 0 to"),
    ("release_when_converged", 1, "release_when_converged = 1: must be true or false"),
]


@pytest.mark.parametrize(("leaf", "value", "line"), REFUSED, ids=[f"{row[0]}-{i}" for i, row in enumerate(REFUSED)])
def test_refused_values(leaf, value, line):
    assert line in refusal({"n_particles": 4, leaf: value})


def test_every_setting_has_a_refused_value():
    assert {row[0] for row in REFUSED} == set(FIELDS)


@pytest.mark.parametrize(
    ("leaf", "value"),
    [
        ("n_particles", 1),
        ("n_particles", 64),
        ("interaction_strength", 10),
        ("n_walkers", 2),
        ("n_burn_in", 0),
        ("clip_deviations", 0),
        ("reference_max_seconds", 0),
        ("max_seconds", None),
        ("seed", 0),
        ("seed", 2**31 - 1),
    ],
)
def test_accepted_boundaries(leaf, value):
    accepted = leaves(settings_from(None, {"n_particles": 4, leaf: value}))[leaf]
    assert accepted == value
    if leaf == "interaction_strength":
        assert isinstance(accepted, float)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"n_particles": 2, "trap": False}, ("trap", "interaction_strength")),
        ({"n_particles": 1, "trap": False, "interaction_strength": -1.0}, ("trap", "n_particles")),
        ({"n_particles": 2, "interaction_range": 1e-30}, ("interaction_range", "dtype")),
        ({"n_particles": 2, "interaction_strength": -1e30}, ("interaction_strength", "dtype")),
        ({"n_particles": 2, "proposal_width": 1e30}, ("proposal_width", "dtype")),
        (
            {"n_particles": 2, "proposal_width": 1e30, "dtype": "float64", "sampling_dtype": "float32"},
            ("proposal_width", "sampling_dtype"),
        ),
        ({"n_particles": 2, "longest_wait": 2, "shortest_wait": 3}, ("longest_wait", "shortest_wait")),
        ({"n_particles": 2, "release_at": 10}, ("release_at", "freeze_equivariant")),
        ({"n_particles": 2, "release_when_converged": True}, ("release_when_converged", "freeze_equivariant")),
        ({"n_particles": 2, "freeze_equivariant": True, "release_at": 1000}, ("release_at", "iterations")),
        (
            {"n_particles": 2, "freeze_equivariant": True, "release_when_converged": True},
            ("release_when_converged", "early_stopping"),
        ),
    ],
)
def test_contradictions_name_both_settings(overrides, named):
    line = refusal(overrides)
    assert "contradicts" in line and all(name in line for name in named)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"interaction": "coth"}, "interaction_strength = 0.0 contradicts interaction = coth: must be above 0"),
        (
            {"interaction": "calogero", "interaction_strength": 0.5},
            "interaction_strength = 0.5 contradicts interaction = calogero: must be at least 1",
        ),
        (
            {"interaction": "none", "interaction_strength": 1.0},
            "interaction_strength = 1.0 contradicts interaction = none, which has none: must be left out",
        ),
        (
            {"interaction": "harmonic", "interaction_range": 0.5},
            "interaction_range = 0.5 contradicts interaction = harmonic",
        ),
        (
            {"interaction": "harmonic", "interaction_strength": -0.5},
            "interaction_strength = -0.5 contradicts trap = harmonic: must be above -1/n",
        ),
        ({"trap": "none", "interaction": "coth", "interaction_strength": 1.0}, "trap = none contradicts interaction"),
        ({"trap": "double_well", "trap_quartic": 1.0}, "trap_quartic = 1.0 contradicts trap = double_well"),
    ],
)
def test_parameters_that_a_system_lacks_are_refused(overrides, line):
    assert refusal({"n_particles": 4} | overrides).startswith(line)


def test_a_system_of_names():
    system = settings_from(
        None, {"n_particles": 64, "interaction": "calogero", "interaction_strength": 1.8, "ansatz": "jastrow"}
    ).system
    assert (system.interaction_range, system.trap) == (None, "harmonic")
    assert system.title() == "A = 64, Calogero, l = 1.8"
    assert settings_from(None, {"n_particles": 4}).system.title() == "A = 4, V0 = 0, sigma0 = 0.5"
    soft = {"interaction": "soft_coulomb", "interaction_strength": 2.0, "trap": "quartic", "pair_stiffness": 0.1}
    title = settings_from(None, {"n_particles": 2} | soft).system.title()
    assert title == "A = 2, soft Coulomb, q = 2, range = 0.5, pair stiffness = 0.1, quartic trap, 0.1"


@pytest.mark.parametrize(("trap", "name"), [(True, "harmonic"), (False, "none")])
def test_a_config_of_an_older_version_loads_back(trap, name, tmp_path):
    """With a boolean for the trap, the range of every run, and nothing that did not exist then; it counts as equal."""
    lines = "[system]\nn_particles = 2\ninteraction_strength = -9.0\ninteraction_range = 0.5\n"
    (tmp_path / "config.toml").write_text(f"{lines}trap = {str(trap).lower()}\n", encoding="utf-8")
    old = config.load_toml(tmp_path / "config.toml")
    new = settings_from(None, {"n_particles": 2, "interaction_strength": -9.0, "trap": name})
    assert old.system.trap == name and f'trap = "{name}"' in to_toml(old)
    new_since = ("interaction", "pair_stiffness", "ansatz", "n_pair_features", "n_pair_layers", "pair_length")
    written_then = {leaf: value for leaf, value in comparable(old).items() if leaf not in new_since}
    assert (written_then["n_features"], written_then["momentum"]) == (64, 0.9)
    for before in (comparable(old), written_then | {"trap": trap}):
        assert differences(before, new, ()) == []
    other = settings_from(
        None, {"n_particles": 2, "interaction_strength": -9.0, "interaction_range": 0.4, "trap": name}
    )
    assert differences(comparable(old), other, ()) == ["interaction_range = 0.5, not 0.4"]


def test_no_contradiction():
    settings_from(None, {"n_particles": 2, "trap": False, "interaction_strength": -1.0})
    settings_from(None, {"n_particles": 2, "interaction_range": 1e-30, "dtype": "float64"})
    settings_from(None, {"n_particles": 2, "interaction_strength": 0.0})


def test_missing_and_unknown_settings():
    assert refusal({}) == "n_particles: must be given; an integer from 1 to 64"
    assert refusal({"n_partcles": 4}) == "n_partcles: no such setting; did you mean n_particles?"
    assert "xyzzy\\n" not in refusal({"xyzzy\n": 4})


garbage = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 30),
    st.floats(),
    st.floats(0, 1),
    st.text(),
    st.binary(),
    st.dates(),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.integers()),
    st.sampled_from(["float32", "float64", "adam", "auto", "nested", "forward", 10**400, 10**5000]),
)


@hypothesis_settings(max_examples=150, deadline=None)
@example({"shortest_wait": 101})
@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), garbage, max_size=3))
def test_garbage_gives_settings_or_one_line(overrides):
    given_leaves = {"n_particles": 4} | overrides
    try:
        settings = settings_from(None, given_leaves)
    except SettingsError as error:
        assert str(error).isprintable()
        assert any(str(error).startswith(leaf) for leaf in given_leaves)
        return
    for leaf, value in leaves(settings).items():
        assert value is None or not isinstance(value, float) or math.isfinite(value)
        if leaf in given_leaves:
            assert value == (trap_name(given_leaves[leaf]) if leaf == "trap" else given_leaves[leaf])
    with tempfile.TemporaryDirectory() as folder:
        (copy := Path(folder, "copy.toml")).write_text(to_toml(settings), encoding="utf-8")
        assert config.load_toml(copy) == settings


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(FIELDS)), st.one_of(st.text(), st.integers().map(str), st.floats().map(repr)))
def test_garbage_flags_give_settings_or_one_line(leaf, text):
    try:
        value = leaves(cli.parse(["train.py", "--n_particles=4", f"--{leaf}={text}"]))[leaf]
    except SettingsError as error:
        assert str(error).isprintable() and leaf in str(error)
    else:
        if isinstance(value, list):  # of a family, see test_family_config.py
            return
        kind = config_settings.value_type(leaf)
        expected = text.lower() == "true" if kind is bool else kind(text)
        assert value == (trap_name(expected) if leaf == "trap" else expected)


# --- TOML -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [{"n_particles": 4}, CHANGED_TOGETHER], ids=["defaults", "all changed"])
def test_round_trip(overrides, tmp_path):
    settings = settings_from(None, overrides)
    (tmp_path / "copy.toml").write_text(to_toml(settings), encoding="utf-8")
    assert config.load_toml(tmp_path / "copy.toml") == settings
    assert set(tomllib.loads(to_toml(settings))) == set(SECTIONS) - {"family"}


def test_all_changed_changes_everything():
    assert set(ALL_CHANGED) == set(FIELDS)
    standard, family = leaves(settings_from(None, {"n_particles": 4})), SECTIONS["family"].model_fields
    values = leaves(settings_from(None, CHANGED_TOGETHER)) | {leaf: ALL_CHANGED[leaf] for leaf in family}
    assert [leaf for leaf in FIELDS if values[leaf] == standard[leaf]] == ["trap_quartic"]


def test_flat_sectioned_and_mixed_toml_are_equal(tmp_path):
    texts = {
        "flat": "n_particles = 3\nn_walkers = 64\nquiet = true\n",
        "sections": "[run]\nquiet = true\n[sampling]\nn_walkers = 64\n[system]\nn_particles = 3\n",
        "mixed": "n_particles = 3\n[sampling]\nn_walkers = 64\n[run]\nquiet = true\n",
        "inline": "sampling.n_walkers = 64\nrun = {quiet = true}\nn_particles = 3\n",
        "bom": "\ufeffn_particles = 3\r\nn_walkers = 64\r\nquiet = true\r\n",
    }
    expected = settings_from(None, {"n_particles": 3, "n_walkers": 64, "quiet": True})
    for name, text in texts.items():
        path = tmp_path / f"{name}.toml"
        path.write_bytes(text.encode())
        assert config.load_toml(path) == expected, name


BAD_TOML = {
    "unknown key": ("n_partcles = 4", ["n_partcles", "did you mean n_particles"]),
    "unknown key in section": ("n_particles = 4\n[run]\nsed = 1", ["sed", "did you mean seed"]),
    "unknown section": ("n_particles = 4\n[trainning]\niterations = 1", ["[trainning]", "did you mean training"]),
    "section as a value": ("n_particles = 4\ntraining = 5", ["training = 5", "[training]"]),
    "table for a leaf": ("[n_particles]\nvalue = 4", ["n_particles = {'value': 4}", "must be an integer from 1 to 64"]),
    "wrong section": ("[training]\nn_particles = 4", ["n_particles", "[training]", "must be in [system]"]),
    "twice": ("n_particles = 4\n[system]\nn_particles = 4", ["n_particles: given twice"]),
    "twice in a row": ("n_particles = 4\nn_particles = 5", ["not TOML", "line 2", "n_particles = 5"]),
    "wrong type": ("n_particles = '4'", ["n_particles = '4': must be an integer from 1 to 64"]),
    "twice, deep": (2 * f"[{'a.' * 3000}a]\n", ["not TOML", "line 2"]),
    "nan": ("n_particles = 4\nlearning_rate = nan", ["learning_rate = nan: must be a finite number above 0"]),
    "date": ("n_particles = 2024-01-02", ["n_particles", "must be an integer from 1 to 64"]),
    "not toml": ("this is no TOML", ["not TOML", "line 1", "this is no TOML"]),
    "empty": ("", ["n_particles: must be given; an integer from 1 to 64"]),
    "huge integer": ("n_particles = 1" + "0" * 5000, ["not TOML"]),
    "deeply nested": ("n_particles = " + "[" * 100_000, ["not TOML"]),
    "line break in key": ('"a\\nb" = 1', ["no such setting"]),
    "not utf-8": (b"# caf\xe9\nn_particles = 4", ["not UTF-8"]),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00", ["not UTF-8"]),
    "zero bytes": (b"\x00" * 100, ["not TOML"]),
}


@pytest.mark.parametrize("kind", BAD_TOML)
def test_bad_toml(kind, tmp_path):
    content, expected = BAD_TOML[kind]
    path = tmp_path / "bad.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refusal({}, path)
    assert all(part in line for part in expected), line
    assert len(line) < 1000
    if kind not in ("empty", "wrong type", "nan", "date", "table for a leaf"):  # these are about the value alone
        assert "bad.toml" in line


def test_empty_toml_is_fine_where_nothing_is_missing(tmp_path):
    (tmp_path / "empty.toml").touch()
    assert settings_from(tmp_path / "empty.toml", {"n_particles": 4}) == settings_from(None, {"n_particles": 4})


def test_unreadable_configs_name_the_path(tmp_path, monkeypatch):
    assert str(tmp_path) in refusal({}, tmp_path) and "not a file" in refusal({}, tmp_path)
    assert "no such file" in refusal({}, tmp_path / "missing.toml")
    assert "no such file" in refusal({}, "zero\0byte")
    assert "config = 'xxx" in refusal({}, "x" * 5000)
    path = tmp_path / "secret.toml"
    path.write_text("n_particles = 4")

    def denied(self, *_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # root may read everything: a chmod would prove nothing
    assert "secret.toml': cannot be read: Permission denied" in refusal({}, path)


# --- presets ----------------------------------------------------------------------------------------------------


def test_the_presets():
    assert config.preset_names() == [path.stem for path in PRESETS]
    assert set(config.preset_names()) >= {"quickstart", "thesis", "free_fermions", "two_particles", "attractive"}


ONE_SYSTEM = [path for path in PRESETS if not is_chain(path) and path not in FAMILIES]


@pytest.mark.parametrize("path", FAMILIES, ids=lambda path: path.stem)
def test_preset_of_a_family_loads(path):
    command = next(line for line in path.read_text().splitlines() if line.startswith("# python "))
    settings = cli.parse(shlex.split(command.removeprefix("# "))[1:])
    assert settings == config.load_toml(path) and settings.is_family


@pytest.mark.parametrize("path", ONE_SYSTEM, ids=lambda path: path.stem)
def test_preset_loads_and_its_head_is_true(path):
    settings = config.load_toml(path)
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    energy = next(float(match[1]) for line in head if (match := re.match(r"# expected energy: (?:<= )?(\S+) \(", line)))
    command = next(line.removeprefix("# ") for line in head if line.startswith("# python "))
    assert cli.parse(shlex.split(command)[1:]) == settings
    free_energy = settings.system.n_particles**2 / 2
    # An interaction shifts the energy to its own side of that of free fermions (the Gaussian has one sign).
    assert math.copysign(1, settings.system.interaction_strength) * (energy - free_energy) >= 0


def test_thesis_preset_is_the_run_of_the_thesis():
    values = leaves(config.load_toml("thesis"))
    expected = {"n_particles": 4, "interaction_strength": 10.0, "interaction_range": 0.5, "n_features": 64}
    expected |= {"n_layers": 2, "n_walkers": 4096, "n_steps": 10, "learning_rate": 1e-4, "iterations": 100_000}
    assert {leaf: values[leaf] for leaf in expected} == expected


@pytest.mark.parametrize("name", ["thesis", "thesis.toml", "configs/thesis.toml"])
def test_presets_are_found_from_anywhere(name, tmp_path, monkeypatch):
    expected = config.load_toml(REPOSITORY / "configs" / "thesis.toml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thesis").mkdir()  # e.g. a run folder of that name does not hide the preset
    assert config.load_toml(name) == expected


def test_a_file_of_the_user_wins_over_a_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thesis.toml").write_text("n_particles = 7")
    assert config.load_toml("thesis.toml").system.n_particles == 7


def test_shipped_presets_are_read_from_the_package_first(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "only.toml").write_text("n_particles = 5")
    monkeypatch.setattr(config_load.importlib.resources, "files", lambda package: tmp_path)
    assert config.preset_names() == ["only"]
    assert config.load_toml("only").system.n_particles == 5


@pytest.mark.parametrize("name", ["thesiss", "elsewhere/thesis.toml", "/nowhere/thesis.toml"])
def test_a_missing_preset_names_the_shipped_ones(name):
    line = refusal({}, name)
    assert name in line and all(preset in line for preset in config.preset_names())
    assert "did you mean thesis?" in line


# --- flags ------------------------------------------------------------------------------------------------------


def test_flags_and_settings_are_the_same_set():
    flags = {flag.name: flag for flag in all_flags(cli.COMMAND)}
    assert set(flags) == set(FIELDS) | {"config", "resume", "help", "version"}
    for leaf, field in FIELDS.items():
        assert flags[leaf].text.startswith(field.description)
        if not field.is_required() and field.default is not None:
            assert f"default: {str(field.default).lower()})" in flags[leaf].text


@pytest.mark.parametrize("leaf", ALL_CHANGED)
def test_every_flag_sets_its_setting(leaf):
    changed = {"n_particles": 4, leaf: ALL_CHANGED[leaf]} | NEEDED_BESIDE.get(leaf, {})
    texts = {name: str(value).strip("[]") for name, value in changed.items()}
    if isinstance(ends := changed.get("interaction_strength"), list):
        texts["interaction_strength"] = ":".join(map(str, ends))
    arguments = [f"--{name}={text}" for name, text in texts.items()]
    assert cli.parse(["train.py", *arguments]) == settings_from(None, changed)


def test_forms_of_flags():
    settings = cli.parse(["train.py", "--n_particles", "3", "--quiet", "--notrap", "-interaction_strength=-2"])
    expected = {"n_particles": 3, "quiet": True, "trap": False, "interaction_strength": -2.0}
    assert settings == settings_from(None, expected)
    assert cli.parse(["train.py", "--n_particles=3", "--noquiet"]).run.quiet is False


def test_flags_override_the_preset_and_the_preset_the_defaults(tmp_path):
    (tmp_path / "a.toml").write_text("n_particles = 5\nn_layers = 4\n")
    settings = cli.parse(["train.py", f"--config={tmp_path / 'a.toml'}", "--n_particles=6"])
    assert settings == settings_from(None, {"n_particles": 6, "n_layers": 4})
    assert settings.ansatz.n_layers != defaults.N_LAYERS


def test_help_names_every_setting_under_its_section():
    blocks = {block.partition(":")[0]: block for block in help_text(cli.COMMAND).split("\n\n")}
    for leaf, section in SECTION_OF.items():
        assert re.search(rf"^  --(\[no\])?{leaf} ", blocks[section], re.MULTILINE)
    assert "one of float32, float64; default: float32" in " ".join(blocks["ansatz"].split())
    assert "--[no]quiet" in blocks["run"]
    assert all(preset in blocks["general"] for preset in config.preset_names())


# --- run folders ------------------------------------------------------------------------------------------------


def refused_folder(run_dir: str | Path) -> str:
    """Returns the one line that refuses a run folder."""
    with pytest.raises(config.RunFolderError) as caught:
        RunFolder.claim(run_dir)
    assert str(caught.value).isprintable() and str(caught.value).startswith("run_dir = ")
    return str(caught.value)


def test_claims_a_new_and_an_empty_folder(tmp_path):
    assert RunFolder.claim(tmp_path / "a" / "b").path == tmp_path / "a" / "b"
    (tmp_path / "empty").mkdir()
    assert RunFolder.claim(str(tmp_path / "empty")).path == tmp_path / "empty"


def test_a_claimed_folder_is_refused_even_before_anything_is_written(tmp_path):
    RunFolder.claim(tmp_path / "a")
    assert "not empty" in refused_folder(tmp_path / "a")


def test_a_lost_race_is_refused(tmp_path, monkeypatch):
    RunFolder.claim(tmp_path / "a")
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(()))  # the other process claims after our look
    assert "not empty" in refused_folder(tmp_path / "a")


def test_a_folder_with_a_run_is_left_as_it_is(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "energy.csv").write_text("precious")
    assert "another run" in refused_folder(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["energy.csv"]
    assert (tmp_path / "run" / "energy.csv").read_text() == "precious"


def test_a_file_in_the_way_is_left_as_it_is(tmp_path):
    (tmp_path / "file").write_text("precious")
    assert "is a file" in refused_folder(tmp_path / "file")
    assert "cannot be written" in refused_folder(tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("name", ["x" * 300, "zero\0byte", "~no-such-user/run", "\ud800"])
def test_impossible_names(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused_folder(name)
    assert not list(tmp_path.iterdir())


def test_a_read_only_folder(tmp_path, monkeypatch):
    def denied(self, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", denied)  # root may write everywhere: a chmod would prove nothing
    assert "cannot be written (Permission denied)" in refused_folder(tmp_path / "run")


def test_a_disk_too_full_for_the_mark_leaves_none(tmp_path, monkeypatch):
    def full(self, text, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert "cannot be written (No space left on device)" in refused_folder(tmp_path / "run")
    monkeypatch.undo()
    assert RunFolder.claim(tmp_path / "run").path.is_dir()


def test_a_run_that_was_killed_before_its_training_is_told_from_others(tmp_path):
    RunFolder.claim(tmp_path / "run")
    (tmp_path / "run" / "config.toml").write_text("n_particles = 2")
    assert "can be continued by --resume" in refused_folder(tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("precious")
    assert "may hold another run" in refused_folder(tmp_path / "run")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux' /proc, where nobody can create folders")
def test_proc():
    assert "cannot be written" in refused_folder("/proc/x")


def test_the_default_folder_carries_preset_and_time(tmp_path, monkeypatch):
    assert re.fullmatch(r"runs/thesis-\d{8}-\d{6}", default_run_dir("configs/thesis.toml"))
    assert re.fullmatch(r"runs/run-\d{8}-\d{6}", default_run_dir())
    monkeypatch.chdir(tmp_path)
    assert RunFolder.claim(None).path.parent == Path("runs")


# --- the kind of wave function ------------------------------------------------------------------------------------


def test_sizes_follow_the_kind_of_wave_function():
    resolved = settings_from(None, {"n_particles": 4}).resolved()
    assert [resolved[leaf] for leaf in ALL_SIZES] == [64, 2, 1, None, None, None]
    resolved = settings_from(None, {"n_particles": 4, "ansatz": "jastrow", "interaction_range": 0.3}).resolved()
    assert [resolved[leaf] for leaf in ALL_SIZES] == [16, 2, None, 16, 2, 0.6]
    without_range = {"ansatz": "jastrow", "interaction": "coth", "interaction_strength": 0.3}
    assert settings_from(None, {"n_particles": 4} | without_range).resolved()["pair_length"] == 1.0
    own = settings_from(None, {"n_particles": 4, "ansatz": "mine:Own", "n_features": 3}).resolved()
    assert [own[leaf] for leaf in ALL_SIZES] == [3, None, None, None, None, None]


def test_the_optimisers_defaults_follow_the_kind_of_wave_function():
    assert settings_from(None, {"n_particles": 4}).recipe() == (0.2, 100, 0.9, 3e-2, 3.0, 0.0, 50)
    jastrow = settings_from(None, {"n_particles": 4, "ansatz": "jastrow", "damping": 1e-3})
    assert jastrow.recipe() == defaults.RECIPES["jastrow", "spring"]._replace(damping=1e-3)
    assert settings_from(None, {"n_particles": 4, "ansatz": "mine:Own"}).recipe() == (0.2, 100, 0.9, 3e-2, 3.0, 0.0, 50)
    assert {kind for kind, _ in defaults.RECIPES} == set(ANSATZE)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            {"ansatz": "jastrow", "n_determinants": 2},
            "n_determinants = 2: has no meaning for ansatz = jastrow; must be left out",
        ),
        (
            {"interaction": "calogero", "interaction_strength": 1.5},
            "ansatz = slater contradicts interaction = calogero: its ground state vanishes as |r|^1.5 where two "
            "particles meet; must be jastrow",
        ),
    ],
)
def test_what_a_kind_of_wave_function_does_not_have(overrides, line):
    assert refusal({"n_particles": 4} | overrides) == line


def test_a_text_under_ansatz_is_the_setting_and_a_table_the_section(tmp_path):
    flat, sections = tmp_path / "flat.toml", tmp_path / "sections.toml"
    flat.write_text('n_particles = 4\nansatz = "jastrow"\nn_features = 8\n', encoding="utf-8")
    sections.write_text('[system]\nn_particles = 4\n[ansatz]\nansatz = "jastrow"\nn_features = 8\n', encoding="utf-8")
    assert settings_from(flat) == settings_from(sections)
    assert settings_from(flat).ansatz.ansatz == "jastrow"
    assert config.load_toml(flat) == settings_from(None, {"n_particles": 4, "ansatz": "jastrow", "n_features": 8})
    flat.write_text("n_particles = 4\nansatz = 3\n", encoding="utf-8")
    assert refusal({}, flat) == "ansatz = 3: must be one of slater, jastrow, or module:Class"


def test_an_older_run_cannot_become_one_of_another_wave_function():
    old = comparable(settings_from(None, {"n_particles": 4}))
    del old["ansatz"]
    other = settings_from(None, {"n_particles": 4, "ansatz": "jastrow"})
    assert differences(old, other, ())[0] == "ansatz = 'slater', not 'jastrow'"


def test_filled_settings_name_the_network_and_change_nothing():
    for overrides in ({}, {"ansatz": "jastrow", "interaction_range": 0.3}, {"ansatz": "mine:Own"}):
        settings = settings_from(None, {"n_particles": 4} | overrides)
        filled = settings.filled()
        assert comparable(filled) == comparable(settings)
        assert leaves(filled)["momentum"] is not None and leaves(filled)["damping_min"] is None
        given_leaves = {leaf: value for leaf, value in leaves_of_one(filled).items() if value is not None}
        assert settings_from(None, given_leaves) == filled
    assert "n_pair_features = 16" in to_toml(settings_from(None, {"n_particles": 4, "ansatz": "jastrow"}).filled())
