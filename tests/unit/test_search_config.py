"""The config, the command line and the folder of a search: all that is checked before TensorFlow is loaded."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tf_nqs import config, tune
from tf_nqs.commands import train as cli
from tf_nqs.commands.command import help_text, read
from tf_nqs.config import RunFolderError, SettingsError
from tf_nqs.config.search import Choices, Range, SearchSettings, changed_setting, search_from, search_to_toml
from tf_nqs.runtime import startup
from tf_nqs.studies import search_folder
from tf_nqs.studies.tuning.hypermodel import best_settings, trial_settings

REPOSITORY = Path(__file__).resolve().parents[2]

SEARCH = """
[search]
tuner = "random"
max_trials = 3
[search.space]
learning_rate = {low = 1e-3, high = 1, scale = "log"}
n_features = {low = 8, high = 32, step = 2, scale = "log"}
n_walkers = {choices = [32, 64]}
restore_best = {choices = [true, false]}
optimizer = {choices = ["spring", "minsr"]}
[system]
n_particles = 2
"""


@pytest.fixture
def write(tmp_path):
    """Writes a config in the test's own folder and returns its path."""

    def write_text(text, name="search.toml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write_text


def refusal(*arguments):
    with pytest.raises(SettingsError) as caught:
        search_from(*arguments)
    line = str(caught.value)
    assert line.isprintable() and line.strip()
    return line


# --- the config -------------------------------------------------------------------------------------------------


def test_a_search_is_read(write):
    search = search_from(write(SEARCH), {"max_trials": 5, "seed": 7})
    assert search.space == {
        "learning_rate": Range(0.001, 1.0, "log", None),
        "n_features": Range(8, 32, "log", 2),
        "n_walkers": Choices((32, 64)),
        "restore_best": Choices((True, False)),
        "optimizer": Choices(("spring", "minsr")),
    }
    assert (search.search.tuner, search.search.max_trials, search.settings.run.seed) == ("random", 5, 7)
    assert search.fixed == {"n_particles": 2, "seed": 7}


def test_round_trip(write):
    search = search_from(write(SEARCH), {"search_seconds": 10.0, "run_dir": "somewhere", "quiet": True})
    text = search_to_toml(search)
    again = search_from(write(text, "again.toml"))
    assert changed_setting(search, again) is None
    assert again.search == search.search and again.space == search.space
    assert set(tomllib.loads(text)) >= {"search", "system", "ansatz", "sampling", "training"}


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("max_trials = 3", "max_trials = 2", "max_trials: was 3, is 2"),
        ("n_particles = 2", "n_particles = 3", "n_particles: was 2, is 3"),
        ("[32, 64]", "[32, 65]", "[search.space] n_walkers: was Choices(choices=(32, 64)), is Choices("),
        (
            "n_walkers = {choices = [32, 64]}\n",
            "",
            "[search.space] n_walkers: was Choices(choices=(32, 64)), is (not set)",
        ),
        ("[system]", "[run]\nseed = 1\n[system]", "seed: was 0, is 1"),
        ("[system]", "[run]\nquiet = true\nrun_dir = 'b'\n[system]", None),
    ],
)
def test_a_change_is_named(write, old, new, line):
    changed = changed_setting(search_from(write(SEARCH)), search_from(write(SEARCH.replace(old, new), "new.toml")))
    assert changed == line or line in changed


REFUSED = [
    ("tuner = 'random'", "tuner = 'grid'", "tuner = 'grid': must be one of random, hyperband, bayesian"),
    ("max_trials = 3", "max_trials = 0", "max_trials = 0: must be an integer from 1 to"),
    ("max_trials = 3", "max_trails = 3", "max_trails: no such setting, but it is in [search]"),
    ("max_trials = 3", "max_trails = 3", "did you mean max_trials?"),
    ("max_trials = 3", "seconds_per_trial = nan", "seconds_per_trial = nan: must be a finite number above 0"),
    ("max_trials = 3", "error_weight = -1", "error_weight = -1: must be a finite number of at least 0"),
    ("max_trials = 3", "random_trials = 0", "random_trials = 0: must be an integer from 1 to"),
    ("max_trials = 3", "min_seconds_per_trial = 30", "min_seconds_per_trial = 30.0 contradicts seconds_per_trial"),
    ("low = 1e-3", "low = -1", "[search.space] learning_rate = -1: must be a finite number above 0"),
    ("low = 1e-3", "low = 2", "[search.space] learning_rate: low = 2.0: must be below high = 1.0"),
    ("low = 1e-3", "lwo = 2", "[search.space] learning_rate = {'lwo': 2, 'high': 1, 'scale': 'log'}: must be {low ="),
    ("scale = 'log'}\nn_f", "scale = 'lin'}\nn_f", "scale = 'lin': must be one of linear, log"),
    ("step = 2", "step = 1", "[search.space] n_features: step = 1: must be an integer above 1, at most 4"),
    ("step = 2", "step = 2.5", "step = 2.5: must be an integer above 1, at most 4"),
    ("low = 8", "low = 8.5", "[search.space] n_features = 8.5: must be an integer from 1 to"),
    ("[32, 64]", "[]", "[search.space] n_walkers: choices = []: must be a list of different values"),
    ("[32, 64]", "[32, 32]", "choices = [32, 32]: must be a list of different values"),
    ("[32, 64]", "32", "choices = 32: must be a list of different values"),
    ("[32, 64]", "[32, 1]", "[search.space] n_walkers = 1: must be an integer from 2 to"),
    ("[32, 64]", "[32, '64']", "[search.space] n_walkers = '64': must be an integer from 2 to"),
    ("[true, false]", "[1, 0]", "[search.space] restore_best = 1: must be true or false"),
    ("{choices = ['spring', 'minsr']}", "{low = 'a', high = 'b'}", "optimizer: has no low and high; must be {choices"),
    ("{choices = ['spring', 'minsr']}", "'adam'", "[search.space] optimizer = 'adam': must be {low = ..., high = ...}"),
    (
        "n_walkers = {",
        "n_wlkers = {",
        "n_wlkers: no such setting, but it is in [search.space]; did you mean n_walkers?",
    ),
    ("n_walkers = {", "iterations = {", "iterations: cannot be searched, trials end after seconds_per_trial"),
    ("n_walkers = {", "seed = {", "seed: cannot be searched, the settings in [run] are those of all trials; must be"),
    ("n_particles = 2", "n_particles = 0", "n_particles = 0: must be an integer from 1 to 64"),
    ("n_particles = 2", "", "n_particles: must be given"),
    ("n_particles = 2", "n_particles = 2\n[sampling]\nn_walkers = 5", "n_walkers: given both in [search.space] and in"),
    ("n_particles = 2", "n_particles = 2\n[training]\niterations = 5", "iterations: given in "),
    (
        "n_particles = 2",
        "n_particles = 2\n[training]\nmax_seconds = 5",
        "trials end after seconds_per_trial of [search]",
    ),
    ("n_particles = 2", "n_particles = 2\ntrap = false", "trap = none contradicts interaction_strength"),
    (
        "n_particles = 2",
        "n_particles = 2\n[evaluation]\nreference = 'diffusion'",
        "reference = diffusion: cannot be computed in a se",
    ),
]


def test_a_search_of_an_older_version_goes_on(write):
    """Its copy has a boolean for the trap, and the range that is the default."""
    old = SEARCH.replace("n_particles = 2", "n_particles = 2\ntrap = true\ninteraction_range = 0.5")
    assert changed_setting(search_from(write(old, "old.toml")), search_from(write(SEARCH))) is None
    other = search_from(write(SEARCH.replace("n_particles = 2", 'n_particles = 2\ntrap = "quartic"'), "other.toml"))
    assert changed_setting(search_from(write(SEARCH)), other) == "trap: was 'harmonic', is 'quartic'"


def test_a_search_for_another_system(write):
    coth = SEARCH.replace("n_particles = 2", 'n_particles = 8\ninteraction = "coth"\ninteraction_strength = 0.3')
    search = search_from(write(coth))
    assert search.settings.system.interaction == "coth" and search.settings.system.interaction_range is None
    assert search_from(write(search_to_toml(search), "copy.toml")).settings.system == search.settings.system
    coth = coth.replace("optimizer = {", "interaction_strength = {low = 1, high = 2}\noptimizer = {")
    assert refusal(write(coth.replace("interaction_strength = 0.3", ""))).startswith("interaction_strength: cannot be")


KINDS = """
[search]
tuner = "random"
[search.space]
ansatz = {choices = ["slater", "jastrow"]}
n_features = {choices = [4, 8]}
n_determinants = {choices = [1, 2]}
n_pair_features = {choices = [4, 8]}
[system]
n_particles = 2
"""


def test_sizes_of_one_kind_are_left_out_of_the_trials_of_the_other(write, tmp_path):
    search = search_from(write(KINDS))
    sizes = {"n_features": 8, "n_determinants": 2, "n_pair_features": 4}
    slater, jastrow = (
        trial_settings(search, {"ansatz": kind} | sizes, tmp_path / "trial", 1.0).ansatz
        for kind in ("slater", "jastrow")
    )
    assert (slater.n_features, slater.n_determinants, slater.n_pair_features) == (8, 2, None)
    assert (jastrow.n_features, jastrow.n_determinants, jastrow.n_pair_features) == (8, None, 4)
    assert best_settings(search, {"ansatz": "jastrow"} | sizes, 9).ansatz == jastrow
    (tmp_path / "again.toml").write_text(search_to_toml(search))
    assert search_from(tmp_path / "again.toml").space == search.space


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            'ansatz = {choices = ["slater", "jastrow"]}\n',
            "",
            "[search.space] n_pair_features: has no meaning for ansatz = slater; must be left out",
        ),
        (
            "n_pair_features = {choices = [4, 8]}\n",
            "[ansatz]\nn_pair_features = 4\n",
            "n_pair_features = 4: has no meaning for ansatz = slater, which is searched too; must be left out, or be "
            "given in [search.space]",
        ),
    ],
)
def test_sizes_without_meaning_are_refused(write, old, new, line):
    assert old in KINDS
    assert refusal(write(KINDS.replace(old, new))) == line


@pytest.mark.parametrize(("old", "new", "line"), REFUSED, ids=[row[1] for row in REFUSED])
def test_refused_configs(write, old, new, line):
    text = SEARCH.replace('"', "'")
    assert old in text
    assert line in refusal(write(text.replace(old, new)))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("n_particles = 2", "[search]: missing in"),
        ("search = 5\nn_particles = 2", "[search]: missing in"),
        ("n_particles = 2\n[search]\nmax_trials = 3", "[search.space]: empty or missing in"),
        ("n_particles = 2\n[search.space]", "[search.space]: empty or missing in"),
        ("[search", "not TOML"),
    ],
)
def test_configs_that_are_no_search(write, text, line):
    assert line in refusal(write(text))


def test_a_run_refuses_the_config_of_a_search(write):
    with pytest.raises(SettingsError, match=r"^\[search\]: .* must be given to python -m tf_nqs.tune$"):
        config.load_toml(write(SEARCH))


def test_the_shipped_search_loads_and_its_head_is_true():
    assert config.preset_names(searches=True) == ["tune"]
    text = (REPOSITORY / "configs" / "tune.toml").read_text()
    command = next(line for line in text.splitlines() if line.startswith("# python -m tf_nqs.tune "))
    search = tune.search_of(read(tune.COMMAND, command.split()[3:]))
    assert search.search == search_from("tune").search
    assert search.settings.run.run_dir == "runs/search"
    # What a trial shares with the preset that it is compared with.
    quickstart = config.load_toml("quickstart")
    assert search.settings.system == quickstart.system
    assert search.settings.training.optimizer == quickstart.training.optimizer
    # Twenty minutes: the last trial has time to train, and half a minute to compile and to be measured.
    assert search.search.search_seconds + search.search.seconds_per_trial + 30 <= 1200
    for leaf, dimension in search.space.items():  # the quickstart's own settings are among those searched
        value = {**quickstart.resolved(), **quickstart.recipe()._asdict()}[leaf]
        inside = value in dimension.choices if isinstance(dimension, Choices) else dimension.low <= value
        assert inside and (isinstance(dimension, Choices) or value <= dimension.high)


# --- the command line -------------------------------------------------------------------------------------------


@pytest.fixture
def no_search(monkeypatch):
    """The search itself, which bad input must not reach."""
    monkeypatch.setattr(startup, "import_tensorflow", lambda: pytest.fail("TensorFlow would have been loaded"))
    for name in tune.WORKER_VARIABLES:
        monkeypatch.delenv(name, raising=False)


BAD_COMMAND_LINES = [
    ([], "config: must be given; a TOML file or one of tune"),
    (["--config=missing.toml"], "config = 'missing.toml': no such file; must be a TOML file or a preset (tune)"),
    (["--config=quickstart"], "config = 'quickstart': no such file; must be a TOML file or a preset (tune)"),
    (["--config=search.toml", "--max_trials=2.5"], "max_trials = 2.5: must be an integer from 1 to"),
    (["--config=search.toml", "--max_trials"], "Missing value for flag --max_trials; must be an integer from 1 to"),
    (["--config=search.toml", "--tuner=grid"], "tuner = 'grid': must be one of random, hyperband, bayesian"),
    (["--config=search.toml", "--run_dir="], "run_dir = '': must be non-empty text without control characters"),
    (["--config=search.toml", "--seed=-1"], "seed = -1: must be an integer from 0 to"),
    (["--config=search.toml", "--n_walkers=5"], "--n_walkers: no such flag"),
    (["--config=search.toml", "--flagfile=x"], "--flagfile: no such flag"),
    (["--config=search.toml", "extra"], "'extra': unexpected argument; must be given as --setting=value"),
    (["--config=search.toml", "--run_dir=notes"], "run_dir = 'notes': not empty, it may hold another run"),
    (["--config=search.toml", "--run_dir=search.toml"], "run_dir = 'search.toml': is a file"),
    (["--config=search.toml", "--run_dir=search.toml/a"], "run_dir = 'search.toml/a': cannot be written"),
    (["--config=search.toml", "--run_dir=" + "x" * 300], "run_dir = 'xxx"),
]


@pytest.mark.parametrize(("arguments", "line"), BAD_COMMAND_LINES, ids=lambda value: str(value)[:40])
def test_bad_command_lines(arguments, line, no_search, write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(SEARCH)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "energy.csv").write_text("precious")
    before = sorted(tmp_path.rglob("*"))
    assert tune.main(["tune", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and line in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"KERASTUNER_TUNER_ID": "chief"}, "KERASTUNER_ORACLE_IP: must be given, as KERASTUNER_TUNER_ID is"),
        ({"KERASTUNER_ORACLE_PORT": "8000"}, "KERASTUNER_TUNER_ID: must be given, as KERASTUNER_ORACLE_PORT is"),
        (dict(zip(tune.WORKER_VARIABLES, ("chief", "::1", "http"), strict=True)), "'http': must be an integer from 1"),
        (dict(zip(tune.WORKER_VARIABLES, ("../a", "::1", "8000"), strict=True)), "'../a': must be only letters"),
        (dict(zip(tune.WORKER_VARIABLES, ("a", "no host", "8000"), strict=True)), "'no host': must be an IP address"),
        (
            dict(zip(tune.WORKER_VARIABLES, ("a", "127.0.0.256", "8000"), strict=True)),
            "= '127.0.0.256': must be an IP",
        ),
        (dict(zip(tune.WORKER_VARIABLES, ("a", "http://x", "8000"), strict=True)), "'http://x': must be an IP address"),
    ],
)
def test_bad_workers(environment, line, no_search, write, tmp_path, monkeypatch, capsys):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tune.main(["tune", f"--config={write(SEARCH)}", f"--run_dir={tmp_path / 'new'}"]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_roles():
    assert tune.read_role({}) == tune.Role("tuner0", False, False)
    variables = dict(zip(tune.WORKER_VARIABLES, ("chief", "127.0.0.1", "8000"), strict=True))
    assert tune.read_role(variables) == tune.Role("chief", True, False)
    for host in ("localhost", "node-7.cluster", "::1", "[::1]", "0.0.0.0"):
        assert tune.read_role({**variables, "KERASTUNER_ORACLE_IP": host}).is_chief
    assert tune.read_role({**variables, "KERASTUNER_TUNER_ID": "b-2"}) == tune.Role("b-2", False, True)


def test_every_search_setting_is_a_flag_that_help_explains(write):
    words = " ".join(help_text(tune.COMMAND).split())
    values = {
        "tuner": "hyperband",
        "max_trials": 7,
        "search_seconds": 5.5,
        "seconds_per_trial": 90.0,
        "error_weight": 2.0,
        "random_trials": 4,
        "min_seconds_per_trial": 9.0,
        "hyperband_factor": 4,
    }
    assert set(values) == set(SearchSettings.model_fields)
    for name, field in SearchSettings.model_fields.items():
        assert f"--{name} {field.description}" in words
    arguments = [f"--{name}={value}" for name, value in values.items()]
    arguments = ["tune", f"--config={write(SEARCH)}", *arguments]
    search = tune.search_of(read(tune.COMMAND, [*arguments, "--run_dir=here", "--seed=3"]))
    assert search.search.model_dump() == values
    assert (search.settings.run.run_dir, search.settings.run.seed) == ("here", 3)
    assert tune.search_of(read(tune.COMMAND, arguments)).settings.run.run_dir.startswith("runs/search-")


def test_help_needs_no_tensorflow():
    code = "import sys, tf_nqs.tune as t; t.main(['t', '--help']); sys.exit(bool({'keras', 'scipy'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: python -m tf_nqs.tune" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


# --- the folder -------------------------------------------------------------------------------------------------


def test_a_search_takes_its_folder_up_again_and_no_other_may(write, tmp_path):
    search = search_from(write(SEARCH), {"run_dir": str(tmp_path / "new")})
    with search_folder.search_folder(search) as folder:
        assert changed_setting(search_from(folder / "search.toml"), search) is None
    with search_folder.search_folder(search) as folder:
        assert sorted(path.name for path in folder.iterdir()) == [".claimed", ".locked", "search.toml"]
    other = search_from(write(SEARCH), {"run_dir": str(tmp_path / "new"), "error_weight": 2.0})
    for take in (search_folder.search_folder(other).__enter__, lambda: search_folder.wait_for_search(other, 1.0)):
        with pytest.raises(RunFolderError, match=r"another config \(error_weight: was 1.0, is 2.0\)"):
            take()


def test_a_full_disk_gives_a_new_folder_back(write, tmp_path, largest_file):
    search = search_from(write(SEARCH), {"run_dir": str(tmp_path / "new")})
    line = r"^run_dir = '.*new': cannot be written \(File too large\)$"
    with largest_file(64), pytest.raises(RunFolderError, match=line):
        search_folder.search_folder(search).__enter__()
    assert not (tmp_path / "new").exists()


def test_two_processes_cannot_search_in_one_folder(write, tmp_path):
    search = search_from(write(SEARCH), {"run_dir": str(tmp_path / "new")})
    with search_folder.search_folder(search):
        # Locks of two open files exclude each other within a process as between two.
        with pytest.raises(RunFolderError, match="locked by another process; wait for it to finish"):
            search_folder.search_folder(search).__enter__()


def test_a_broken_search_file_is_named(write, tmp_path):
    search = search_from(write(SEARCH), {"run_dir": str(tmp_path / "new")})
    with search_folder.search_folder(search) as folder:
        pass
    (folder / "search.toml").write_text("[search")
    with pytest.raises(RunFolderError, match=r"its search.toml cannot be read .*not TOML"):
        search_folder.search_folder(search).__enter__()


def test_a_worker_does_not_wait_for_ever(write, tmp_path):
    search = search_from(write(SEARCH), {"run_dir": str(tmp_path / "new")})
    with pytest.raises(RunFolderError, match="no chief began a search in it within 0 seconds"):
        search_folder.wait_for_search(search, 0.0)
    assert not (tmp_path / "new").exists()


def test_the_training_command_points_to_this_one(write, capsys):
    assert cli.main(["train.py", f"--config={write(SEARCH)}"]) == 2
    assert "must be given to python -m tf_nqs.tune" in capsys.readouterr().err
