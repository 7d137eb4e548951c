"""What an export is made of: that of a single system, and that of a family."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

import tf_nqs
from tf_nqs.ansatz.conditioned import ConditionedAnsatz
from tf_nqs.ansatz.protocol import HasNumberOfParticles
from tf_nqs.named_systems import PARAMETER_OF_TRAP
from tf_nqs.physics import FermionFamily, TrappedFermions
from tf_nqs.physics.contact import check_contact
from tf_nqs.saved_model import family as families
from tf_nqs.saved_model.signatures import functions_of_positions, make_methods, make_signatures
from tf_nqs.types import Tensor

Functions = Mapping[str, Callable[[Tensor], dict[str, Tensor]]]
"""Signature -> function of positions."""


class Compared(NamedTuple):
    """A system on which the reloaded model is compared with the wave function.

    Attributes:
        functions: of the wave function.
        arguments: what its signatures are given beside positions; nothing for the export of a single system.
    """

    functions: Functions
    arguments: Mapping[str, Any] = {}


class Content(NamedTuple):
    """What an export is made of.

    Attributes:
        names: of the signatures that take positions.
        make: returns methods and signatures.
        compared: the systems that are compared.
        summary: the content of `export.json`.
    """

    names: list[str]
    make: Callable[[], tuple[dict[str, Callable], dict[str, Callable]]]
    compared: list[Compared]
    summary: dict[str, Any]


def check_system(ansatz: keras.Model, system: TrappedFermions) -> None:
    """Refuses a wave function that cannot be one of a system."""
    if getattr(ansatz, "conditions", None) is not None:
        raise ValueError("conditions of the ansatz: need a FermionFamily as system, this is one system")
    if isinstance(ansatz, HasNumberOfParticles) and ansatz.n_particles != system.n_particles:
        raise ValueError(f"n_particles = {ansatz.n_particles} of the ansatz: the system has {system.n_particles}")
    check_contact(ansatz, system)


def content_of_system(ansatz: keras.Model, system: TrappedFermions, laplacian: str) -> Content:
    """Returns the content of the export of a single system."""
    functions = functions_of_positions(ansatz, system, laplacian)
    ansatz(tf.zeros((1, system.n_particles), ansatz.compute_dtype))  # some models make their variables at first use

    def make() -> tuple[dict[str, Callable], dict[str, Callable]]:
        methods = make_methods(functions, system.n_particles, ansatz.compute_dtype)
        return methods, make_signatures(methods, system.n_particles, ansatz.compute_dtype)

    summary = {
        "n_particles": system.n_particles,
        **_facts_of_ansatz(ansatz),
        "interaction_strength": None if system.pair_potential else system.interaction_strength,
        "interaction_range": None if system.pair_potential else system.interaction_range,
        "interaction": "custom" if system.pair_potential else system.interaction,
        "pair_stiffness": system.pair_stiffness,
        **_facts_of_trap(system),
        **_versions(),
    }
    return Content([*functions], make, [Compared(functions)], summary)


def content_of_family(ansatz: ConditionedAnsatz, family: FermionFamily, laplacian: str, is_bounded: bool) -> Content:
    """Returns the content of the export of a family; its members are compared as wave functions of single systems."""
    graphs = families.make_graphs(ansatz, family, laplacian, is_bounded)

    def make() -> tuple[dict[str, Callable], dict[str, Callable]]:
        methods = families.make_methods(graphs)
        return methods, families.make_signatures(methods, graphs)

    compared = [
        Compared(
            functions_of_positions(ansatz.member(*place), family.member(*place), laplacian),
            families.arguments_of(family, place),
        )
        for place in families.places_to_check(family)
    ]
    summary = {
        **family.conditions.config(),
        **_facts_of_ansatz(ansatz),
        "is_extrapolated": not is_bounded,
        **family.others,
        **_facts_of_trap(family.systems[0]),
        **_versions(),
    }
    if not family.has_range:
        summary["interaction_range"] = None
    return Content(graphs.names, make, compared, summary)


def _facts_of_trap(system: TrappedFermions) -> dict[str, Any]:
    """Returns the entries of the trap: its name, custom for a function, and its parameters, None for what it lacks."""
    trap = system.trap if isinstance(system.trap, str) else "custom"
    return {"trap": trap} | {
        name: float(getattr(system.named, name)) if trap == owner else None for owner, name in PARAMETER_OF_TRAP.items()
    }


def _facts_of_ansatz(ansatz: keras.Model) -> dict[str, Any]:
    return {"dtype": ansatz.compute_dtype, "n_parameters": ansatz.count_params()}


def _versions() -> dict[str, Any]:
    """Returns the entry of the versions of the packages."""
    versions = {package.__name__: package.__version__ for package in (tf_nqs, tf, keras, np)}
    return {"versions": {"python": platform.python_version()} | versions}
