"""An exported family: the parameters of a system stand beside the positions in its methods and signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.ansatz.conditioned import ConditionedAnsatz
from tf_nqs.ansatz.derivatives import choose_laplacian
from tf_nqs.ansatz.protocol import HasOrbitalsOfMembers
from tf_nqs.physics import FermionFamily, TrappedFermions
from tf_nqs.physics.parameters import SystemParameters, derived_parameters
from tf_nqs.saved_model.graphs import portable
from tf_nqs.saved_model.signatures import (
    checked_positions,
    functions_of_wave_function,
    of_unknown_shape,
    sample,
)
from tf_nqs.types import Tensor

_FEWEST_CHECKED = 3
"""Number of members on which a new export is compared with the network, if there are fewer numbers of particles."""

Outputs = dict[str, Tensor]
Place = tuple[int, float, float]


class FamilyGraphs(NamedTuple):
    """The graphs of a family: of each number of particles A, and of each function of positions and parameters.

    Attributes:
        by_number: A -> name -> graph of positions (n, A), strengths (n, 1) and ranges (n, 1).
        family: which systems there are.
        dtype: of all real numbers.
        is_bounded: whether parameters outside of the family are refused.
    """

    by_number: dict[int, dict[str, Callable[[Tensor, Tensor, Tensor], Outputs]]]
    family: FermionFamily
    dtype: str
    is_bounded: bool

    @property
    def numbers(self) -> tuple[int, ...]:
        """All A, ascending."""
        return self.family.conditions.n_particles

    @property
    def names(self) -> list[str]:
        """Of the functions."""
        return list(self.by_number[self.numbers[0]])


def check_family(ansatz: Any, family: FermionFamily) -> None:
    """Refuses a wave function of other systems.

    Raises:
        ValueError: it is not that of this family.
    """
    conditions = getattr(ansatz, "conditions", None)
    # A network that started from another family's weights has features scaled by that one's ranges.
    if conditions is None or conditions.with_own_scales() != family.conditions:
        raise ValueError("conditions of the ansatz: must be those of the family")


def make_graphs(ansatz: ConditionedAnsatz, family: FermionFamily, laplacian: str, is_bounded: bool) -> FamilyGraphs:
    """Returns the graphs of a family's wave function.

    Args:
        ansatz: of the family.
        family: its systems.
        laplacian: as for `VariationalMonteCarlo`.
        is_bounded: whether parameters outside of the family are refused.

    Raises:
        ValueError: laplacian is unknown, or "forward" for an ansatz that has none.
    """
    dtype = ansatz.compute_dtype
    column = tf.TensorSpec((None, 1), dtype)
    by_number = {}
    for system in family.systems:
        number = system.n_particles
        functions = _functions_at(ansatz, family, system, choose_laplacian(ansatz, laplacian, number))
        specs = tf.TensorSpec((None, number), dtype), column, column
        by_number[number] = {name: portable(function, *specs) for name, function in functions.items()}
    return FamilyGraphs(by_number, family, dtype, is_bounded)


def _functions_at(
    ansatz: ConditionedAnsatz, family: FermionFamily, system: TrappedFermions, laplacian: str
) -> dict[str, Callable[[Tensor, Tensor, Tensor], Outputs]]:
    """Returns name -> function of positions, strengths and ranges, for the number of particles of a system."""
    others = [family.others[name] for name in ("pair_stiffness", "trap_quartic", "trap_separation")]

    def functions(strength: Tensor, width: Tensor) -> dict[str, Callable[[Tensor], Outputs]]:
        exact = (tf.cast(one, tf.float64) for one in (strength, width))
        parameters = derived_parameters(system.n_particles, family.interaction, *exact, *others)
        parameters = SystemParameters(*(tf.cast(one, strength.dtype) for one in parameters))
        psi = ansatz.at(system.n_particles, parameters)

        def orbitals(positions: Tensor) -> Tensor:
            return ansatz.orbitals_at(positions, psi.shifts)

        known = orbitals if isinstance(ansatz, HasOrbitalsOfMembers) else None
        return functions_of_wave_function(psi, system, laplacian, parameters, known)

    def named(name: str) -> Callable[[Tensor, Tensor, Tensor], Outputs]:
        return lambda positions, strength, width: functions(strength, width)[name](positions)

    one = tf.ones((1, 1), ansatz.compute_dtype)
    return {name: named(name) for name in functions(one, one)}


def make_methods(graphs: FamilyGraphs) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns name -> graph function that can be saved as a method of a model; they check what they are given."""
    anything = tf.TensorSpec(None, graphs.dtype)
    methods = {name: _traced(graphs, _method(graphs, name), anything) for name in graphs.names}
    return methods | {"sample": _traced_sample(graphs)}


def make_signatures(
    methods: Mapping[str, Callable], graphs: FamilyGraphs
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns signature -> graph function: the methods, with what is known of the shape of the positions.

    Args:
        methods: as `make_methods` returns them.
        graphs: they are made of.
    """
    n_particles = graphs.numbers[0] if len(graphs.numbers) == 1 else None
    positions = tf.TensorSpec((None, n_particles), graphs.dtype)
    named = {name: _traced(graphs, methods[name], positions) for name in graphs.names}
    default = {tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY: named["log_psi"]}
    return {**named, "sample": methods["sample"], **default}


def _traced(
    graphs: FamilyGraphs, function: Callable[..., Outputs], positions: tf.TensorSpec
) -> tf.types.experimental.PolymorphicFunction:
    """Returns a function of positions and of the parameters that the systems have, under their names."""
    anything = tf.TensorSpec(None, graphs.dtype)
    if graphs.family.has_range:
        return tf.function(
            lambda positions, interaction_strength, interaction_range: function(
                positions, interaction_strength, interaction_range
            ),
            input_signature=[positions, anything, anything],
            autograph=False,
        )
    return tf.function(
        lambda positions, interaction_strength: function(positions, interaction_strength),
        input_signature=[positions, anything],
        autograph=False,
    )


def _method(graphs: FamilyGraphs, name: str) -> Callable[..., Outputs]:
    """Returns a function of positions of any number of particles, and of parameters: numbers, or one per walker."""

    def method(positions: Tensor, *parameters: Tensor) -> Outputs:
        given = checked_positions(positions, graphs.numbers)
        strength, width = _columns(graphs, parameters, tf.shape(given)[0])

        def branch(number: int) -> Callable[[], Outputs]:
            graph = graphs.by_number[number][name]
            # Not ensure_shape, whose gradient would have the static shape of this branch in all of them.
            return lambda: graph(tf.reshape(given, (-1, number)), strength, width)

        return _of_number(graphs, tf.shape(given)[1], branch)

    return method


def _traced_sample(graphs: FamilyGraphs) -> tf.types.experimental.PolymorphicFunction:
    """Returns the function that samples one system, whose parameters are numbers."""

    def draw(seed: Tensor, n_walkers: Tensor, n_steps: Tensor, n_particles: Tensor, *parameters: Tensor) -> Outputs:
        allowed = " or ".join(map(str, graphs.numbers))
        is_known = tf.reduce_any(n_particles == tf.constant(graphs.numbers))
        message = f"n_particles must be {allowed}, as trained; it was"
        with tf.control_dependencies([tf.debugging.Assert(is_known, [message, n_particles])]):
            n_particles = tf.identity(n_particles)
        strength, width = _columns(graphs, parameters, tf.constant(1))

        def branch(number: int) -> Callable[[], Outputs]:
            def log_abs_psi(positions: Tensor) -> Tensor:
                rows = (tf.tile(one, [tf.shape(positions)[0], 1]) for one in (strength, width))
                return graphs.by_number[number]["log_psi"](positions, *rows)["log_abs_psi"]

            return lambda: {"positions": sample(log_abs_psi, seed, n_walkers, n_steps, number, graphs.dtype)}

        return _of_number(graphs, n_particles, branch)

    names = {"seed": (2,), "n_walkers": (), "n_steps": (), "n_particles": ()}
    integers = [tf.TensorSpec(shape, tf.int32, name) for name, shape in names.items()]
    number = tf.TensorSpec((), graphs.dtype)
    if graphs.family.has_range:
        return tf.function(
            lambda seed, n_walkers, n_steps, n_particles, interaction_strength, interaction_range: draw(
                seed, n_walkers, n_steps, n_particles, interaction_strength, interaction_range
            ),
            input_signature=[*integers, number, number],
            autograph=False,
        )
    return tf.function(
        lambda seed, n_walkers, n_steps, n_particles, interaction_strength: draw(
            seed, n_walkers, n_steps, n_particles, interaction_strength
        ),
        input_signature=[*integers, number],
        autograph=False,
    )


def _of_number(graphs: FamilyGraphs, n_particles: Tensor, branch: Callable[[int], Callable[[], Outputs]]) -> Outputs:
    """Returns what the branch of a number of particles returns, without the static sizes that only one branch has."""
    if len(graphs.numbers) == 1:
        return branch(graphs.numbers[0])()

    def of_any_size(compute: Callable[[], Outputs]) -> Callable[[], Outputs]:
        return lambda: {
            name: tf.ensure_shape(of_unknown_shape(value), [None] * value.shape.rank)
            for name, value in compute().items()
        }

    index = tf.argmax(tf.cast(n_particles == tf.constant(graphs.numbers), tf.int32), output_type=tf.int32)
    return cast(Outputs, tf.switch_case(index, [of_any_size(branch(number)) for number in graphs.numbers]))


def _columns(graphs: FamilyGraphs, parameters: tuple[Tensor, ...], n_walkers: Tensor) -> tuple[Tensor, Tensor]:
    """Returns strengths and ranges of the walkers, shape (n_walkers, 1) each."""
    names = ("interaction_strength", "interaction_range")
    found = [_column(graphs, *one, n_walkers) for one in zip(names, parameters, strict=False)]
    if graphs.family.has_range:
        return found[0], found[1]
    return found[0], defaults.INTERACTION_RANGE * tf.ones_like(found[0])


def _column(graphs: FamilyGraphs, name: str, value: Tensor, n_walkers: Tensor) -> Tensor:
    """Returns a parameter of the walkers, shape (n_walkers, 1); refuses it when the graph runs."""
    given = of_unknown_shape(value)
    shape = tf.shape(given)
    fits = tf.reduce_all(shape == n_walkers) & (tf.size(shape) <= 1)
    message = f"{name} must be a number, or have shape (n,) as there are n walkers; the shape was"
    checks = [tf.debugging.Assert(fits, [message, shape])]
    if graphs.is_bounded:
        low, high = getattr(graphs.family.conditions, name)
        trained = f"from {low:g} to {high:g}" if low < high else f"{low:g}"
        is_trained = tf.reduce_all((given >= tf.constant(low, graphs.dtype)) & (given <= high))
        checks.append(tf.debugging.Assert(is_trained, [f"{name} must be {trained}, as trained; it was", given]))
    with tf.control_dependencies(checks):
        return tf.broadcast_to(tf.reshape(given, (-1, 1)), tf.stack([n_walkers, 1]))


def places_to_check(family: FermionFamily) -> Iterator[Place]:
    """Yields members from one end of all ranges to the other, at least one for each number of particles."""
    space = family.conditions
    (low, high), (short, long) = space.interaction_strength, space.interaction_range
    n_places = max(_FEWEST_CHECKED, len(space.n_particles))
    for index in range(n_places):
        share = index / (n_places - 1)
        strength, width = low + share * (high - low), short * (long / short) ** (1.0 - share)
        # Rounded, an end may lie outside.
        yield space.n_particles[index % len(space.n_particles)], min(strength, high), min(width, long)


def arguments_of(family: FermionFamily, place: Place) -> dict[str, Any]:
    """Returns name -> value of what the signatures are given beside positions; n_particles is for `sample` alone."""
    names = ("n_particles", "interaction_strength", "interaction_range")
    return dict(zip(names if family.has_range else names[:2], place, strict=False))
