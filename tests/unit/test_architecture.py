"""The house rules that a machine can check: who imports whom, what is declared, what ships, how long things get."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import tf_nqs

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "tf_nqs"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = sorted(PROJECT["project"]["optional-dependencies"])

LEVELS = (
    {"defaults", "family_values", "types", "whole_numbers"},
    {"ansatz_counts", "named_systems"},
    {"named_ansatze"},
    {"config"},
    {"runtime"},
    {"storage"},
    {"exact", "physics"},
    {"layers"},
    {"ansatz", "execution"},
    {"sampling"},
    {"trainer"},
    {"analysis"},
    {"diffusion", "measurement"},
    {"training"},
    {"callbacks", "observables"},
    {"saved_model"},
    {"experiment"},
    {"studies"},
    {"commands"},
    {"curve", "diffuse", "evaluate", "observe", "reproduce", "tune"},
    {"__main__"},
)
"""Modules and sub-packages of tf_nqs, lowest first: each imports from lower levels only, never sideways."""

LAZY_IMPORTERS = {
    "tf_nqs",
    "tf_nqs.exact",
    "tf_nqs.runtime.imported",
    "tf_nqs.runtime.registration",
    "tf_nqs.runtime.startup",
}
"""Modules that import by name while they run: TensorFlow not before it is needed, or a function named by a setting."""

LONGEST_FILE, LONGEST_FUNCTION = 300, 45
"""Lines; docstrings of functions and classes do not count."""

IMPORT_NAMES = {"absl-py": "absl"}
"""Distribution -> what one imports, where it is not the same up to hyphens."""

NEVER_IMPORTED = {
    "scikit-learn": "keras_tuner",  # for its Bayesian search
    "setuptools": "tensorflow_probability",  # brings distutils, which it imports
    "tensorboard": "tf.summary",  # fails without it
    "tf_keras": "tensorflow_probability",  # imports it
}
"""Declared distribution that no file imports -> what the files use that needs it."""


def module_name(path: Path) -> str:
    """Returns the dotted name of a file of the package."""
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PACKAGES = {name for name, path in FILES.items() if path.name == "__init__.py"}


@functools.cache
def syntax_tree(path: Path) -> ast.Module:
    """Returns the parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(path: Path) -> Iterator[str]:
    """Yields the dotted names that a file imports, anywhere in it; a name that is a module of ours as that module."""
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute in this package"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in FILES else node.module


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Returns the number of lines of a function's or class' docstring."""
    if ast.get_docstring(node) is None:
        return 0
    return node.body[0].end_lineno - node.body[0].lineno + 1


@functools.cache
def import_graph() -> dict[str, set[str]]:
    """Returns module -> modules of ours that it imports."""
    return {name: set(imported(path)) & FILES.keys() for name, path in FILES.items()}


def level(module: str) -> int:
    """Returns the level of a module of ours; the package itself, which imports nothing of ours, is below all."""
    if module == "tf_nqs":
        return -1
    unit = module.split(".")[1]
    found = [number for number, units in enumerate(LEVELS) if unit in units]
    assert found, f"tf_nqs.{unit} has no level yet: give it one in LEVELS"
    return found[0]


def distribution_name(requirement: str) -> str:
    """Returns 'tf_keras' for 'tf_keras>=2.21,<2.22'."""
    return re.match(r"[\w.-]+", requirement)[0]


def declared(*extras: str) -> list[str]:
    """Returns the declared requirements of the package and of some extras, but for those on the package itself."""
    project = PROJECT["project"]
    requirements = list(project["dependencies"])
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    return [requirement for requirement in requirements if distribution_name(requirement) != project["name"]]


def test_imports_have_no_cycle():
    order = list(graphlib.TopologicalSorter(import_graph()).static_order())  # CycleError names the cycle
    assert set(order) == set(FILES)


@pytest.mark.parametrize("module", FILES)
def test_module_imports_from_lower_levels_only(module):
    unit = module.split(".")[:2]
    others = {other for other in import_graph()[module] if other.split(".")[:2] != unit}
    assert {other for other in others if level(other) >= level(module)} == set()


def test_every_unit_with_a_level_exists():
    units = {name.split(".")[1] for name in FILES if name != "tf_nqs"}
    assert set().union(*LEVELS) == units


def test_only_the_lazy_modules_import_by_name():
    by_name = {name for name, path in FILES.items() if re.search(r"\bimport_module\(|\b__import__\(", path.read_text())}
    assert by_name == LAZY_IMPORTERS


WITHOUT_TENSORFLOW = ("tf_nqs", "tf_nqs.commands", "tf_nqs.config", "tf_nqs.exact", "tf_nqs.runtime", "tf_nqs.storage")
"""Packages none of whose modules loads TensorFlow when it is imported, but for those below."""

WITH_TENSORFLOW = {
    "tf_nqs.commands.curve_run",
    "tf_nqs.commands.curve_source",
    "tf_nqs.commands.diffuse_run",
    "tf_nqs.commands.evaluate_run",
    "tf_nqs.commands.export_run",
    "tf_nqs.commands.family_curve_run",
    "tf_nqs.commands.known_reference",
    "tf_nqs.commands.observe_members_run",
    "tf_nqs.commands.observe_run",
    "tf_nqs.commands.opened_run",
    "tf_nqs.runtime.strategy",
    "tf_nqs.storage.checkpoints",
}


def imported_by(modules: list[str], libraries: set[str]) -> str:
    """Returns which of some libraries a fresh process has loaded after it imported modules, as Python writes a list."""
    code = f"import sys, {', '.join(modules)}; print(sorted({libraries} & sys.modules.keys()))"
    finished = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return finished.stdout.strip()


def test_package_and_command_line_do_not_load_tensorflow():
    assert imported_by(["tf_nqs", "tf_nqs.commands.train"], {"keras", "tensorflow", "scipy"}) == "[]"


def test_rooms_without_tensorflow():
    modules = [name for name in FILES if name.rpartition(".")[0] in WITHOUT_TENSORFLOW and name not in PACKAGES]
    assert imported_by(sorted({*modules} - WITH_TENSORFLOW), {"keras", "tensorflow"}) == "[]"


@pytest.mark.parametrize("path", [*FILES.values(), REPOSITORY / "train.py"], ids=lambda path: path.stem)
def test_files_and_functions_are_short(path):
    tree = syntax_tree(path)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines - sum(map(docstring_lines, classes)) <= LONGEST_FILE
    for function in functions:
        n_lines = function.end_lineno - function.lineno + 1 - docstring_lines(function)
        assert n_lines <= LONGEST_FUNCTION, f"{path}:{function.lineno}: {function.name} has {n_lines} lines"


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_public_names_resolve(package):
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [])  # rooms that load TensorFlow only where it is needed re-export nothing
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(module, name)] == []


OF_THE_TRAINER = {f"tf_nqs.training.{name}" for name in ("keras_model", "vmc", "walker_model")}
"""The files that are the trainer."""


@pytest.mark.parametrize("module", sorted(FILES.keys() - OF_THE_TRAINER))
def test_nobody_else_sets_an_attribute_of_the_trainer(module):
    """It is called `vmc`, and `self.model` in callbacks; its variables are assigned to by their own `assign`."""
    nodes = list(ast.walk(syntax_tree(FILES[module])))
    calls = [ast.unparse(node.args[0]) for node in nodes if isinstance(node, ast.Call) and _is_setattr(node)]
    stored = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del)]
    owners = [ast.unparse(node.value) for node in stored]
    assert {"vmc", "self.model", "self.vmc", "run.vmc"}.isdisjoint({*owners, *calls})


def _is_setattr(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in ("setattr", "delattr")


ANSATZE = {"FermionAnsatz": "tf_nqs.ansatz.fermion", "JastrowAnsatz": "tf_nqs.ansatz.jastrow"}

SHARED = {"system.gaussian", "workers.messages"}
"""Ends of expressions that name what one wave function has, but mean something else."""


def members_of(module: str, name: str) -> set[str]:
    """Returns the names of a class' methods and of the attributes that it gives to itself."""
    [found] = [node for node in syntax_tree(FILES[module]).body if getattr(node, "name", None) == name]
    nodes = list(ast.walk(found))
    given = {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"}
    stored = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    typed = {node.target.id for node in found.body if isinstance(node, ast.AnnAssign)}
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)} | (given & stored) | typed


@functools.cache
def internals() -> set[str]:
    """Returns what one of the package's wave functions has alone, and the protocol of wave functions does not ask."""
    protocol = syntax_tree(FILES["tf_nqs.ansatz.protocol"])
    classes = [node.name for node in protocol.body if isinstance(node, ast.ClassDef)]
    asked = set().union(*(members_of("tf_nqs.ansatz.protocol", name) for name in classes))
    one, other = (members_of(module, name) for name, module in ANSATZE.items())
    return {name for name in (one ^ other) - asked if not name.startswith("_")}


def test_the_wave_functions_have_internals():
    """Else the next test could not fail."""
    assert {"envelope", "orbital_layer", "n_determinants", "pair_network", "gaussian"} <= internals()
    assert {"orbitals", "length", "start_in_cluster", "psi", "get_config"}.isdisjoint(internals())


def is_of_a_layer(node: ast.Attribute) -> bool:
    """Returns whether an expression is something of a layer of a wave function, as `equivariant_layers[0].kernel`."""
    owner = node.value
    if isinstance(owner, ast.Subscript):
        return getattr(owner.value, "attr", None) == "equivariant_layers"
    return getattr(owner, "attr", None) == "condition_shift"


@pytest.mark.parametrize("module", [name for name in FILES if level(name) > level("tf_nqs.ansatz")])
def test_nobody_else_knows_one_wave_function(module):
    """The rooms below `ansatz` ask a wave function for what `tf_nqs/ansatz/protocol.py` says, and for nothing else."""
    nodes = list(ast.walk(syntax_tree(FILES[module])))
    names = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names.isdisjoint(ANSATZE) and set(ANSATZE.values()).isdisjoint(import_graph()[module])
    used = [node for node in nodes if isinstance(node, ast.Attribute)]
    foreign = internals() | ANSATZE.keys()
    found = {ast.unparse(node) for node in used if node.attr in foreign or is_of_a_layer(node)}
    assert {text for text in found if not text.endswith(tuple(SHARED))} == set()
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    by_name = [node.args[1] for node in calls if node.func.id in ("getattr", "hasattr")]
    assert {getattr(name, "value", None) for name in by_name}.isdisjoint(internals())


def test_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'FermionAnsatzz'"):
        tf_nqs.FermionAnsatzz  # noqa: B018


def test_every_third_party_import_is_declared_and_needed():
    """Both ways: nothing undeclared is imported, and nothing declared is idle."""
    own = {"tf_nqs", *sys.stdlib_module_names}
    used = {name.split(".")[0] for path in FILES.values() for name in imported(path)} - own
    names = {distribution_name(requirement) for requirement in declared()}
    assert names >= NEVER_IMPORTED.keys()
    assert used == {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names - NEVER_IMPORTED.keys()}


@pytest.mark.parametrize(("distribution", "user"), NEVER_IMPORTED.items())
def test_what_is_never_imported_is_needed_all_the_same(distribution, user):
    assert any(user in path.read_text(encoding="utf-8") for path in FILES.values())


def test_every_requirement_has_a_floor_and_a_ceiling():
    for requirement in declared(*EXTRAS):
        assert re.fullmatch(r"[\w-]+>=[\d.]+,<[\d.]+", requirement), requirement


def test_constraints_fix_every_requirement_and_name_no_place():
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    for pin in pins:  # a name and a version, perhaps for some Pythons only; no address, no option
        assert re.fullmatch(r'[\w.-]+==[\w.]+(; python_version [<>=]+ "3\.\d+")?', pin), pin
    versions = {distribution_name(pin).lower(): pin.partition("==")[2].partition(";")[0] for pin in pins}
    for one in map(Requirement, declared(*EXTRAS)):
        assert versions[one.name.lower()] in one.specifier, one
    assert versions["mpmath"] in SpecifierSet("<1.4")  # what sympy 1.13 and 1.14 need, which torch needs


@pytest.mark.slow
@pytest.mark.parametrize("extra", EXTRAS)
def test_every_extra_can_be_installed_with_the_constraints(extra, tmp_path):
    """pip resolves it for a new environment; it asks the package index."""
    venv.create(tmp_path / "venv", with_pip=True)
    pip = [tmp_path / "venv/bin/python", "-m", "pip", "install", "--dry-run", "--quiet", "-c", "constraints.txt"]
    done = subprocess.run([*pip, f".[{extra}]"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_wheel_holds_every_package_and_the_presets():
    """The list in pyproject.toml forgets none; `tf_nqs.configs` is the top-level folder `configs`."""
    built = PROJECT["tool"]["setuptools"]
    assert sorted(built["packages"]) == sorted({*PACKAGES, "tf_nqs.configs"})
    assert built["package-dir"] == {"tf_nqs.configs": "configs"}
    assert built["package-data"]["tf_nqs.configs"] == ["*.toml"]
    assert built["package-data"]["tf_nqs"] == ["py.typed", "pretrained/*"] and (PACKAGE / "py.typed").is_file()
    shipped = {"ansatz.weights.h5", "card.md", "config.toml"}
    assert {path.name for path in (PACKAGE / "pretrained").iterdir()} == shipped


@pytest.mark.slow
def test_a_wheel_is_built_with_the_network(tmp_path):
    """With the tools that are installed; in a copy, as setuptools writes into the tree that it builds from."""
    for name in ("tf_nqs", "configs"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path)
    code = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    names = zipfile.ZipFile(tmp_path / done.stdout.splitlines()[-1]).namelist()
    for name in ("ansatz.weights.h5", "card.md", "config.toml"):
        assert f"tf_nqs/pretrained/{name}" in names
    assert "tf_nqs/configs/pretrained.toml" in names


def test_every_folder_of_the_package_is_a_package():
    folders = {path.parent for path in FILES.values()}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
