"""Any input to any command: what is not valid gets one line and status 2, and changes no file.

Hypothesis makes the inputs. What would train, measure or export raises `Accepted` instead; then the input is checked
to be valid indeed, by the sentence that refusals quote ("an integer from 1 to 64"), not by the code that checks it.
TensorFlow is never asked: all of this is refused before it is loaded.
"""

from __future__ import annotations

import collections
import inspect
import itertools
import json
import math
import os
import re
import shutil
import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tf_nqs import curve, diffuse, evaluate, observe, reproduce, tune
from tf_nqs.commands import draw_figures
from tf_nqs.commands import export as export_command
from tf_nqs.commands import train as cli
from tf_nqs.config import preset_names, settings_from, to_toml
from tf_nqs.config.family import VARIED
from tf_nqs.config.settings import FIELDS, SECTION_OF, SECTIONS, allowed, value_type
from tf_nqs.experiment import memory as memory_request
from tf_nqs.named_systems import trap_name
from tf_nqs.runtime import startup
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.studies.figures import load_figures

REPOSITORY = Path(__file__).resolve().parents[2]

MORE = [1, pytest.param(20, marks=pytest.mark.slow)]
"""The default set takes always the same examples, the slow one others every time, and more of them."""

LEAST_REFUSED = 500
"""Inputs, no two of them alike, that the examples of either set must hold and see refused."""

SAYS_WHAT_IS_ALLOWED = re.compile(
    r"must |; (train\.py )?--help(=all)? lists |; did you mean |does not take an argument|: cannot be written \("
)
"""How refusals end: with what the input must be, what there is instead of it, or why the system lets nobody write."""

SEARCH = """
[search]
max_trials = 2
[search.space]
n_walkers = {choices = [16, 32]}
[system]
n_particles = 2
"""


FAMILY = {"n_particles": [2, 3], "interaction_strength": [-2.0, 2.0], "ansatz": "jastrow"}


class Accepted(BaseException):
    """Raised where the work would begin; no error, so that nothing answers it.

    Attributes:
        settings: of the run, where there is one.
    """

    def __init__(self, settings=None):
        super().__init__()
        self.settings = settings


def accept(*arguments, **options):
    raise Accepted(arguments[0] if arguments else None)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with runs, spoilt runs, and things that are none."""
    folder = tmp_path_factory.mktemp("workplace")
    runs = {
        "run": {},
        "Grüße 🙂": {},
        "no_weights": {"ansatz.weights.h5": None},
        "bad_config": {"config.toml": b"n_particles = 99"},
        "binary_config": {"config.toml": bytes(range(256))},
        "bad_result": {"result.json": b'{"reference_energy": "low"}'},
        "deep_result": {"result.json": b"[" * 10_000},
        "nan_result": {"result.json": b'{"energy": NaN}'},
        "list_result": {"result.json": b"[]"},
        "empty_result": {"result.json": b""},
        "huge": {"config.toml": b"n_particles = 2\nn_walkers = 1000000000"},
        "wide": {"config.toml": b"n_particles = 2\nn_features = 1000000000"},
        "search_config": {"config.toml": SEARCH.encode()},
        "family": {"config.toml": to_toml(settings_from(None, FAMILY).filled()).encode(), "result.json": None},
    }
    whole = {
        "config.toml": to_toml(settings_from(None, {"n_particles": 2})).encode(),
        "ansatz.weights.h5": b"not looked into before TensorFlow is loaded",
        "result.json": b'{"energy": 2.5, "energy_error": 0.01}',
    }
    for name, changes in runs.items():
        (folder / name).mkdir()
        for file, content in (whole | changes).items():
            if content is not None:
                (folder / name / file).write_bytes(content)
    for name in ("config.toml", "ansatz.weights.h5"):
        shutil.copytree(folder / "run", broken := folder / f"folder_for_{name}")
        (broken / name).unlink()
        (broken / name).mkdir()
        shutil.copytree(folder / "run", broken := folder / f"loop_for_{name}")
        (broken / name).unlink()
        (broken / name).symlink_to(name)
    (folder / "empty").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "notes.txt").write_text("precious")
    (folder / "exported" / "1").mkdir(parents=True)
    (folder / "exported" / "1" / "saved_model.pb").write_bytes(b"")
    (folder / "file.md").write_text("precious")
    (folder / "loop").symlink_to("loop_back")
    (folder / "loop_back").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "link").symlink_to("run")
    (folder / "search.toml").write_text(SEARCH)
    (folder / "chain.toml").write_text("n_particles = 2\n[[stage]]\n[[stage]]\ninteraction_strength = 1.0\n")
    (folder / "binary.toml").write_bytes(bytes(range(256)))
    (folder / "empty.toml").touch()
    (folder / "found.toml").mkdir()
    return folder


@pytest.fixture(scope="module")
def untouched(workplace):
    """What the workplace holds, before and after each refusal."""
    return snapshot(workplace)


@pytest.fixture(scope="module")
def refused():
    """Name of a test -> what it has seen refused: commands with their arguments and what their config held."""
    return collections.defaultdict(set)


@pytest.fixture
def ask(workplace, untouched, refused, request, tmp_path, monkeypatch, capsys):
    """Calls a command: returns its settings if they were accepted, and the line that it was refused with, if it was."""
    seen = refused[request.node.name]
    monkeypatch.chdir(workplace)
    for name in tune.WORKER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for module in (memory_request, diffuse):
        monkeypatch.setattr(module, "available_bytes", lambda: 16 * 2**30)  # whatever the machine
    call_late = startup.call_late

    def call_or_accept(target, *arguments, **options):
        """Draws figures as far as making runs, and accepts everything else without its work."""
        if target.startswith("tf_nqs.commands.draw_figures"):
            return call_late(target, *arguments, **options)
        return accept(*(one for one in arguments if not isinstance(one, RunFolder)))

    for name in ("call_with_tensorflow", "call_late"):
        monkeypatch.setattr(startup, name, call_or_accept)
    monkeypatch.setattr(draw_figures, "make_outcomes", accept)
    mains = {
        "train": cli.main,
        "tune": tune.main,
        "export": export_command.main,
        "reproduce": reproduce.main,
        "evaluate": evaluate.main,
        "observe": observe.main,
        "curve": curve.main,
        "diffuse": diffuse.main,
    }

    def call(command, *arguments):
        try:
            status = mains[command]([command, *arguments])
        except Accepted as accepted:
            put_back(workplace, untouched)
            capsys.readouterr()
            return accepted, None
        printed = capsys.readouterr()
        assert snapshot(workplace) == untouched
        if status == 0:  # help or version
            assert printed.out and not printed.err
            assert any(re.match("-+(help|version)", argument) for argument in arguments)
            return None, None
        assert status == 2 and printed.out == ""
        assert printed.err.startswith("error: ") and printed.err.endswith("\n")
        line = printed.err.removeprefix("error: ").removesuffix("\n")
        assert line.isprintable() and len(line) < 1000
        assert SAYS_WHAT_IS_ALLOWED.search(line), line
        files = [Path(text) for one in arguments if (text := one.removeprefix("--config=")).startswith(str(tmp_path))]
        seen.add((command, arguments, *(file.read_bytes() for file in files)))
        return None, line

    return call


def snapshot(folder):
    """Path -> what is there: the target of a link, the content of a file, None for a folder."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            found[path] = os.readlink(path) if os.path.islink(path) else None
            if name in files and found[path] is None:
                with open(path, "rb") as file:
                    found[path] = file.read()
    return found


def put_back(folder, before):
    """Deletes what an accepted command has made, as it would have worked there."""
    for path in sorted(snapshot(folder).keys() - before.keys(), reverse=True):
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
    assert snapshot(folder) == before


def is_function_name(value):
    return isinstance(value, str) and re.fullmatch(r"[^\W\d][\w.]*:[^\W\d][\w.]*", value) is not None


def is_allowed(leaf, value):
    """Whether the sentence that refusals quote allows a value."""
    sentence = allowed(leaf)
    if sentence == "true or false":
        return isinstance(value, bool)
    if sentence == "non-empty text without control characters":
        return isinstance(value, str) and value != "" and not re.search("[\x00-\x1f\x7f\ud800-\udfff]", value)
    if sentence.startswith("one of "):
        names, _, other = sentence.removeprefix("one of ").partition(", or ")
        is_other = {"": False, "true or false": isinstance(value, bool), "module:function": is_function_name(value)}
        is_other["module:Class"] = is_other["module:function"]
        return (isinstance(value, str) and value in names.split(", ")) or is_other[other]
    if isinstance(value, list) and leaf in VARIED:  # of a family
        is_range = leaf != "n_particles" and len(value) == 2
        return (
            len(value) > 1
            and all(is_allowed(leaf, one) for one in value)
            and (value[0] < value[1] if is_range else len(set(value)) == len(value))
        )
    if sentence.startswith("a range low:high"):
        return isinstance(value, str) and re.fullmatch(r"\S+:\S+", value) is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if bounds := re.fullmatch(r"an integer from (-?\d+) to (\d+)", sentence):
        return isinstance(value, int) and int(bounds[1]) <= value <= int(bounds[2])
    assert sentence.startswith("a finite number")
    compare = {"above": float.__gt__, "of at least": float.__ge__, "below": float.__lt__, "at most": float.__le__}
    if (isinstance(value, float) and not math.isfinite(value)) or abs(value) > 1e308:
        return False
    rules = re.findall(r"(above|of at least|below|at most) (\S+)", sentence)
    return all(compare[word](float(value), float(bound)) for word, bound in rules)


def check(ask, command, arguments, given_values):
    """Asks, and compares the answer with what the sentences say about the values given."""
    accepted, line = ask(command, *arguments)
    wrong = [leaf for leaf, value in given_values.items() if not is_allowed(leaf, value)]
    if accepted is None:
        # Each value may be allowed by itself, but not together; and a folder may not be one.
        contradictory = " contradicts " in line or " has no meaning for ansatz = " in line
        together = contradictory or " of memory, only 16 GiB available; must be " in line
        named = next((leaf for leaf in given_values if leaf in line), None)
        assert wrong or together or named in ("run_dir", "transfer_from"), line
        assert named, line
        assert not wrong or any(f"must be {allowed(leaf)}" in line for leaf in wrong), line
        return
    assert not wrong
    settings = accepted.settings
    if hasattr(settings, "stages"):
        return
    for leaf, value in given_values.items():
        if isinstance(value, list):
            assert settings.family.varied()[leaf] == value
            continue
        assert getattr(getattr(settings, SECTION_OF[leaf]), leaf) == (trap_name(value) if leaf == "trap" else value)
    memory_request.check_training(settings)


values = st.one_of(
    st.booleans(),
    st.integers(-3, 30),
    st.integers(),
    st.floats(0, 1),
    st.floats(),
    st.text(max_size=20),
    st.text(st.characters(), max_size=5).map(lambda text: text + "\0\n\x1b"),
    st.dates(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["low", "a b", "é"]), st.integers(), max_size=2),
    st.sampled_from(
        [10**9, 10**9 + 1, 2**31, 2**63, -(2**63) - 1, 10**400, 1e-320, 1e308, -1e308, math.inf, -math.inf, math.nan]
    ),
    st.sampled_from(
        ["", " ", "float32", "adam", "true", "none", "None", "nan", "1e5", "0x10", "1_0", "٣", "½", "\u200b"]
    ),
    st.sampled_from(
        ["full", "file.md", "file.md/x", "loop", "empty", "x" * 300, "~nobody_at_all/x", "run", "../" * 99]
    ),
)

LEAVES = st.sampled_from(sorted(FIELDS))


def to_toml_value(value):
    """Writes any value as TOML."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(to_toml_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {to_toml_value(one)}" for key, one in value.items()) + "}"
    return value.isoformat() if isinstance(value, date) else json.dumps(value).replace("\x7f", "\\u007f")


def read_flag(leaf, text):
    """The value that the text of a flag spells, as a user would read it."""
    kind = value_type(leaf)
    if kind is str:
        return text
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def example_settings(n, factor):
    """Settings of hypothesis for `n` examples, times `factor`."""
    return hypothesis_settings(max_examples=n * factor, deadline=None, database=None, derandomize=factor == 1)


@pytest.mark.parametrize("factor", MORE)
def test_any_value_of_any_setting(factor, ask, tmp_path):
    @example_settings(150, factor)
    @given(LEAVES, values, st.sampled_from(["flag", "flat", "section"]))
    def look(leaf, value, place):
        if place == "flag":
            text = "true" if value is True else "false" if value is False else str(value)
            assume(not text.startswith("-") or "=" not in text)
            others = {} if leaf == "n_particles" else {"n_particles": 2}
            arguments = [*(f"--{name}={number}" for name, number in others.items()), f"--{leaf}={text}"]
            check(ask, "train", arguments, {leaf: read_flag(leaf, text)})
            return
        # At the top a table of this name is the section.
        assume(not (leaf == "ansatz" and isinstance(value, dict) and place == "flat"))
        table = "n_particles = 2\n" if leaf != "n_particles" else ""
        table += f"[{SECTION_OF[leaf]}]\n" if place == "section" else ""
        text = f"{table}{leaf} = {to_toml_value(value)}\n"
        try:
            read = tomllib.loads(text)
        except ValueError:  # half of a surrogate pair
            read = None
        file = tmp_path / "one.toml"
        file.write_text(text, encoding="utf-8")
        if read is None:
            assert "one.toml" in ask("train", f"--config={file}")[1]
        else:
            found = read[SECTION_OF[leaf]][leaf] if place == "section" else read[leaf]
            check(ask, "train", [f"--config={file}"], {leaf: found})

    look()


def extremes(leaf):
    """Allowed values of a setting: its bounds and what is next to them, and everything between."""
    sentence, kind = allowed(leaf), value_type(leaf)
    if sentence.startswith("one of "):
        return st.sampled_from(sentence.removeprefix("one of ").partition(", or ")[0].split(", "))
    if kind is bool:
        return st.booleans()
    if kind is str:
        return st.sampled_from(["new", "empty", "run", "full", "loop", "dangling", "link", "Grüße 🙂", "file.md/new"])
    if kind is int:
        low, high = map(int, re.findall(r"-?\d+", sentence))
        return st.one_of(st.sampled_from([low, low + 1, high - 1, high]), st.integers(low, high))
    ends = [float(number) for _, number in re.findall(r"(above|of at least|below|at most) (\S+)", sentence)]
    near = [math.nextafter(end, side) for end in ends for side in (-math.inf, math.inf)]
    anything = st.sampled_from([*ends, *near, 0.5, 1.5, 1e-300, 1e-30, 1e30, 1e300])
    return anything.filter(lambda value: is_allowed(leaf, value))


@pytest.mark.parametrize("factor", MORE)
def test_extreme_settings_together(factor, ask):
    @example_settings(120, factor)
    @given(
        st.lists(LEAVES, unique=True, max_size=5).flatmap(
            lambda names: st.fixed_dictionaries(dict(zip(names, map(extremes, names), strict=True)))
        )
    )
    def look(chosen):
        chosen = {"n_particles": 2} | chosen
        texts = {leaf: str(value).lower() if isinstance(value, bool) else value for leaf, value in chosen.items()}
        check(ask, "train", [f"--{leaf}={text}" for leaf, text in texts.items()], chosen)

    look()


def leaves_in(table):
    """Leaf -> value of everything in a table of a run or a chain, however deep."""
    for key, value in table.items():
        if key == "stage":
            for stage in value:
                yield from leaves_in(stage)
        elif key in SECTIONS:
            yield from value.items()
        else:
            yield key, value


@st.composite
def spoilt_files(draw):
    """Bytes; or a shipped config with some bytes or lines changed."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.binary(max_size=100))
    names = [*preset_names(), *preset_names(searches=True)]
    content = (REPOSITORY / "configs" / f"{draw(st.sampled_from(names))}.toml").read_bytes()
    for _ in range(draw(st.integers(1, 3))):
        lines = content.splitlines(keepends=True) or [b""]
        at, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["cut", "twice", "swap", "delete", "nest", "bytes", "value"]))
        if how == "cut":
            content = content[: draw(st.integers(0, len(content)))]
            continue
        if how == "twice":
            lines.insert(other, lines[at])
        elif how == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        elif how == "delete":
            del lines[at]
        elif how == "nest":
            lines.insert(at, b"[" + b".".join([b"a"] * draw(st.sampled_from([2, 3000]))) + b"]\n")
        elif how == "bytes":
            lines[at] = lines[at][:3] + draw(st.binary(max_size=4)) + lines[at][3:]
        else:
            key = draw(LEAVES).encode()
            lines.insert(at, key + b" = " + to_toml_value(draw(values)).encode("utf-8", "surrogatepass") + b"\n")
        content = b"".join(lines)
    return content


@pytest.mark.parametrize("factor", MORE)
@pytest.mark.parametrize("command", ["train", "tune"])
def test_any_file_as_config(command, factor, ask, tmp_path):
    @example_settings(100, factor)
    @given(spoilt_files())
    def look(content):
        file = tmp_path / "any.toml"
        file.write_bytes(content)
        accepted, line = ask(command, f"--config={file}")
        if accepted is None:
            assert line
            return
        table = tomllib.loads(content.decode("utf-8-sig"))
        section = table.pop("search", {})
        assert bool(section.get("space")) == (command == "tune")
        assert all(leaf in FIELDS and is_allowed(leaf, value) for leaf, value in leaves_in(table))

    look()


PLACES = [
    *("run", "link", "Grüße 🙂", "./run", "no_weights", "bad_config", "binary_config", "bad_result", "deep_result"),
    *("nan_result", "list_result", "empty_result", "huge", "wide", "search_config", "folder_for_config.toml"),
    *(
        "folder_for_ansatz.weights.h5",
        "loop_for_config.toml",
        "loop_for_ansatz.weights.h5",
        "empty",
        "full",
        "exported",
    ),
    *("file.md", "file.md/x", "file.md/x.md", "loop", "loop/x", "loop/x.md", "dangling", "nowhere", "nowhere/deep"),
    *(
        "new.md",
        "full.md",
        "found.toml",
        "search.toml",
        "chain.toml",
        "binary.toml",
        "empty.toml",
        "quickstart",
        "tune",
    ),
    *(
        "",
        ".",
        "..",
        "/",
        "~nobody_at_all",
        "x" * 300,
        "x" * 300 + ".md",
        "zero\0byte",
        "line\nbreak",
        "\udcff",
        "/dev/null",
    ),
    *("/dev/zero", "/proc/self/mem", ".md", "\u202e.md"),
]

FLAGS = {
    "train": [
        "config",
        "run_dir",
        "transfer_from",
        "resume",
        "help",
        "version",
        "n_particles",
        "iterations",
        "noquiet",
    ],
    "tune": ["config", "run_dir", "seed", "quiet", "help", "max_trials", "seconds_per_trial", "tuner", "iterations"],
    "evaluate": ["run_dir", "target_error", "evaluation_max_seconds", "seed", "quiet", "noquiet", "help"],
    "observe": ["run_dir", "evaluation_max_seconds", "reference_max_seconds", "seed", "quiet", "help", "target_error"],
    "export": ["run_dir", "output", "overwrite", "nooverwrite", "help"],
    "reproduce": ["scale", "run_dir", "output", "arms", "seed", "quiet", "help"],
    "curve": [
        "run_dirs",
        "output",
        "run_dir",
        "n_particles",
        "interaction_strength",
        "interaction_range",
        "extrapolate",
        "reference",
        "references",
        "target_error",
        "help",
    ],
    "diffuse": ["run_dir", "n_walkers", "time_steps", "guide", "target_error", "seed", "quiet", "help"],
}
NEEDED = {
    "train": ["--n_particles=2"],
    "tune": ["--config=search.toml"],
    "evaluate": ["--run_dir=run"],
    "observe": ["--run_dir=run"],
    "export": ["--run_dir=run", "--output=new"],
    "reproduce": ["fig3"],
    "curve": ["--run_dirs=run,Grüße 🙂", "--output=new"],
    "diffuse": ["--run_dir=run"],
}

words = st.one_of(
    st.sampled_from(PLACES),
    st.sampled_from(
        ["fig3", "all", "fig3,fig6", "a4v10", "laptop", "thesis", "TRUE", "false", "maybe", "1", "-1", "nan", "inf"]
    ),
    st.text(max_size=8),
    st.integers().map(str),
    st.floats().map(str),
)


def command_lines(command):
    """Flags and words of a command, of others and of none."""
    names = st.sampled_from([*FLAGS[command], *FLAGS[command], "output", "flagfile", "undefok", "n-particles", "", "é"])
    flag = st.tuples(st.sampled_from(["--", "--", "--", "-", "---"]), names, st.one_of(st.none(), words, words, words))
    texts = flag.map(lambda parts: parts[0] + parts[1] + ("" if parts[2] is None else f"={parts[2]}"))
    return st.tuples(
        st.sampled_from([[], NEEDED[command], NEEDED[command], NEEDED[command]]),
        st.lists(st.one_of(texts, texts, texts, words, st.just("--")), max_size=3),
    ).map(lambda parts: [*parts[0], *parts[1]])


def last(arguments, name, default=None):
    """The value of a flag that counts."""
    given_texts = [match[1] for one in arguments if (match := re.fullmatch(rf"-+{name}=(.*)", one, re.DOTALL))]
    following = [after for before, after in itertools.pairwise(arguments) if before.lstrip("-") == name]
    return (given_texts + following or [default])[-1] if not (given_texts and following) else None


@pytest.mark.parametrize("factor", MORE)
@pytest.mark.parametrize("command", FLAGS)
def test_any_command_line(command, factor, ask, workplace):
    @example_settings(60, factor)
    @given(command_lines(command))
    def look(arguments):
        accepted, _ = ask(command, *arguments)
        if accepted is None:
            return
        run_dir, output = last(arguments, "run_dir"), last(arguments, "output")
        if command == "curve" and run_dir is not None:
            assert (workplace / run_dir).resolve() == workplace / "family"
        if command in ("evaluate", "observe", "export", "diffuse") and run_dir is not None:
            assert (workplace / run_dir).resolve() in (workplace / "run", workplace / "Grüße 🙂")
        if command == "export" and output is not None:
            place = (workplace / output).resolve()
            is_free = not place.exists() or (place.is_dir() and not list(place.iterdir()))
            assert is_free or (place == workplace / "exported" and any("overwrite" in one for one in arguments))
        if command == "reproduce":
            figures = [one for one in arguments if one in ("all", *load_figures())]
            assert figures and (output is None or output.endswith(".md"))
        if command == "tune" and (config := last(arguments, "config")) is not None:
            assert config in ("search.toml", "tune")

    look()


@pytest.mark.parametrize(
    ("command", "arguments", "line"),
    [
        ("evaluate", ["--run_dir="], "run_dir = '': must be the folder of a run"),
        ("evaluate", ["--run_dir=run", "--help=maybe"], "help = 'maybe': must be all, or given without a value"),
        ("tune", ["--config=search.toml", "--help=1"], "help = '1': must be all, or given without a value"),
        ("reproduce", ["fig3", "--run_dir="], "run_dir = '': must be a new folder"),
        ("reproduce", ["fig3", "--run_dir=new", "--output=file.md/x.md"], "output = 'file.md/x.md': cannot be written"),
        ("reproduce", ["fig3", "--run_dir=new", "--output=found.toml/loop.md"], None),
        ("observe", ["--run_dir=deep_result"], "its result.json cannot be read (nested too deeply)"),
        ("evaluate", ["--run_dir=bad_result"], "its result.json cannot be read (reference_energy has another type)"),
        ("export", ["--run_dir=wide", "--output=new"], "n_features = 1000000000: needs about "),
        ("evaluate", ["--run_dir=huge"], "n_walkers = 1000000000: needs about "),
        ("train", ["--n_particles=2", "--run_dir=full"], "run_dir = 'full': not empty"),
        (
            "train",
            ["--n_particles=2", "--run_dir=a/b", "--transfer_from=full"],
            "transfer_from = 'full': has no config",
        ),
        ("train", ["--config=chain.toml", "--n_walkers=100000000"], "stage 1: n_walkers = 100000000: needs about "),
        ("train", ["--config=/proc/self/mem"], "config = '/proc/self/mem': "),
        ("curve", ["--run_dirs=run,Grüße 🙂", "--output=new"], None),
        ("curve", ["--run_dirs=run,link", "--output=new"], "run_dirs: run is named more than once; must be folders"),
        ("curve", ["--run_dirs=run,empty", "--output=new"], "run_dirs = 'empty': has no config.toml; must be"),
        ("curve", ["--run_dirs=run", "--output=full"], "output = 'full': holds files that do not belong to a curve"),
        ("curve", ["--run_dirs=run,family", "--output=new"], "must be"),
        ("curve", ["--run_dir=family", "--n_particles=2", "--interaction_strength=-2:2:5"], None),
        ("curve", ["--run_dir=family", "--n_particles=4", "--interaction_strength=1"], "n_particles = 4: was not"),
        ("curve", ["--run_dir=family", "--interaction_strength=2:-2:5"], "interaction_strength = '2:-2:5': must be"),
        (
            "curve",
            ["--run_dir=family", "--interaction_strength=-2:2:5", "--interaction_range=0.5:1:3", "--extrapolate"],
            "interaction_strength and interaction_range: only one of them may vary along a curve; the other must be",
        ),
        (
            "curve",
            ["--run_dir=family", "--n_particles=2", "--interaction_strength=1", "--references=nowhere"],
            "references = 'nowhere': is not a file; must be a CSV file",
        ),
        ("diffuse", ["--run_dir=run"], None),
        ("diffuse", ["--run_dir=run", "--time_steps=0.1,nan"], "time_steps = '0.1,nan': must be two to 8 different"),
        ("diffuse", ["--run_dir=family"], "must be"),
        ("diffuse", ["--run_dir=bad_config"], "run_dir = 'bad_config': its config.toml"),
    ],
)
def test_what_was_found(command, arguments, line, ask):
    accepted, refused = ask(command, *arguments)
    assert (accepted is not None) if line is None else line in refused


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("n_particles" + ".a" * 3000 + " = 1", "n_particles = "),
        ("x" * 100_000 + " = 1", "no such setting"),
        ("# " + "x" * 2**20, "too large; must be a TOML file of at most 1048576 bytes"),
    ],
)
def test_files_that_are_much_too_much(text, line, ask, tmp_path):
    (tmp_path / "much.toml").write_text(text)
    assert line in ask("train", f"--config={tmp_path / 'much.toml'}")[1]


@pytest.mark.parametrize("step", ["1" + "0" * 400, "inf", "nan"])
def test_steps_of_a_search_that_no_float_holds(step, ask, tmp_path):
    space = f"learning_rate = {{low = 1e-300, high = 1e300, step = {step}}}"
    (tmp_path / "step.toml").write_text(f"[search]\n[search.space]\n{space}\n[system]\nn_particles = 2\n")
    assert "[search.space] learning_rate: step = " in ask("tune", f"--config={tmp_path / 'step.toml'}")[1]


@pytest.mark.parametrize("factor", MORE)
def test_any_environment_of_a_search(factor):
    @example_settings(50, factor)
    @given(st.dictionaries(st.sampled_from(tune.WORKER_VARIABLES), st.one_of(st.text(), st.integers().map(str))))
    def look(environment):
        try:
            role = tune.read_role(environment)
        except tune.SettingsError as error:
            assert str(error).isprintable() and any(name in str(error) for name in tune.WORKER_VARIABLES)
        else:
            assert role.tuner_id == (environment.get(tune.WORKER_VARIABLES[0]) or "tuner0")

    look()
    with pytest.raises(tune.SettingsError, match="must be an integer from 1 to 65535"):
        tune.read_role(dict(zip(tune.WORKER_VARIABLES, ("chief", "localhost", "1" * 5000), strict=True)))


def test_refusals_leave_no_new_folder(tmp_path):
    folder = RunFolder.claim(tmp_path / "a" / "b" / "c")
    folder.release()
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    RunFolder.claim(tmp_path / "mine").release()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("factor", MORE)
def test_hundreds_of_inputs_were_refused(factor, refused, request):
    """The last of this file: counts what the tests before it saw refused, each with a line that says what is allowed.

    It needs all of them before it in its own process, as in a run of the whole file, or with `--dist=loadfile`.
    """
    asking = {"ask", "factor"}
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    written = {name for name, test in tests.items() if asking <= inspect.signature(test).parameters.keys()}
    chosen = [item for item in request.session.items if item.path == request.path and asking <= {*item.fixturenames}]
    if {item.originalname for item in chosen} != written or {item.name for item in chosen} - refused.keys():
        pytest.skip("not all tests of this file have run in this process")
    inputs = set().union(*refused.values())
    counts = collections.Counter(command for command, *_ in inputs)
    assert len(inputs) >= LEAST_REFUSED, counts
    assert counts.keys() == FLAGS.keys() and min(counts.values()) >= 20, counts
