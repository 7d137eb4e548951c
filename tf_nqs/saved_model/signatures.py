"""The functions behind the signatures of an exported wave function, and the contract that describes them.

In shapes, n is the number of walkers, A the number of particles, D the number of determinants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import keras
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.ansatz.derivatives import choose_laplacian, energy_derivatives, log_derivatives
from tf_nqs.ansatz.protocol import WaveFunction
from tf_nqs.physics import TrappedFermions
from tf_nqs.physics.parameters import SystemParameters, parameters_of
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.saved_model.graphs import portable
from tf_nqs.types import LogAbsPsi, SignedLog, Tensor, WalkerState

STEPS_PER_ADAPTATION = 10
"""Metropolis steps between two changes of the proposal width."""


class Output(NamedTuple):
    """An output of a signature: its shape, unit and meaning."""

    shape: str
    unit: str
    meaning: str


OUTPUTS = {
    "log_psi": {
        "sign": Output("(n,)", "1", "sign of Psi: -1, 0 or 1"),
        "log_abs_psi": Output("(n,)", "1", "ln|Psi|, -inf where Psi vanishes; Psi is not normalised"),
    },
    "psi": {"psi": Output("(n,)", "1", "Psi = sign exp(log_abs_psi), which may underflow to 0 where log_psi does not")},
    "local_energy": {
        "total": Output("(n,)", "ħω", "e_L = (H Psi)/Psi, the sum of its three parts"),
        "kinetic": Output("(n,)", "ħω", "-1/2 (lap Psi)/Psi; without a trap, of the internal motion alone"),
        "trap": Output("(n,)", "ħω", "energy in the trap"),
        "interaction": Output("(n,)", "ħω", "energy of all pairs"),
    },
    "gradient_and_laplacian": {
        "gradient": Output("(n, A)", "1/a_ho", "d_i ln|Psi|"),
        "laplacian": Output("(n,)", "1/a_ho²", "sum_i d_i² ln|Psi|; (lap Psi)/Psi is this plus sum_i gradient_i²"),
    },
    "orbitals": {
        "orbitals": Output("(n, D, A, A)", "1", "generalised Slater matrices: particles in rows, orbitals in columns")
    },
    "sample": {"positions": Output("(n_walkers, A)", "a_ho", "walkers drawn from |Psi|²")},
}
"""Signature -> its outputs. All but `sample` take `positions` (n, A) in a_ho."""


def functions_of_positions(
    ansatz: keras.Model, system: TrappedFermions, laplacian: str = defaults.LAPLACIAN
) -> dict[str, Callable[[Tensor], dict[str, Tensor]]]:
    """Returns signature -> Python function, positions (n_walkers, n_particles) -> its outputs.

    Args:
        ansatz: Keras model, positions -> (sign, log_abs_psi); without `orbitals` it has no such signature.
        system: the Hamiltonian.
        laplacian: as for `VariationalMonteCarlo`.

    Raises:
        ValueError: laplacian is unknown, or "forward" for an ansatz that has none.
    """
    laplacian = choose_laplacian(ansatz, laplacian, system.n_particles)
    constants = parameters_of(system.named)  # a SavedModel holds no variables but those of the model
    return functions_of_wave_function(ansatz, system, laplacian, constants, getattr(ansatz, "orbitals", None))


def functions_of_wave_function(
    wave_function: Callable[[Tensor], SignedLog],
    system: TrappedFermions,
    laplacian: str,
    parameters: SystemParameters,
    orbitals: Callable[[Tensor], Tensor] | None,
) -> dict[str, Callable[[Tensor], dict[str, Tensor]]]:
    """Does what `functions_of_positions` does, for a wave function that may be one of a family at some systems.

    Args:
        wave_function: positions -> (sign, log_abs_psi), with `forward_laplacian` if that is wanted.
        system: the Hamiltonian.
        laplacian: "forward" or "nested".
        parameters: of the Hamiltonian: numbers, or one row per walker.
        orbitals: of the wave function; None for one without.
    """
    ansatz = cast(WaveFunction, wave_function)
    derivatives, of_energy = log_derivatives(ansatz, laplacian), energy_derivatives(ansatz, laplacian, system)

    def log_psi(positions: Tensor) -> dict[str, Tensor]:
        return dict(zip(OUTPUTS["log_psi"], ansatz(positions), strict=True))

    def psi(positions: Tensor) -> dict[str, Tensor]:
        sign, log_abs_psi = ansatz(positions)
        return {"psi": sign * tf.exp(log_abs_psi)}

    def local_energy(positions: Tensor) -> dict[str, Tensor]:
        energy = system.local_energy(positions, of_energy(positions), parameters)
        if system.contact_exponent == 1.0:
            return {"total": energy.total, **energy._asdict()}
        missing = system.contact_energy(positions)  # of the parts; it cancels in their sum
        parts = energy._replace(kinetic=energy.kinetic - missing, interaction=energy.interaction + missing)
        return {"total": energy.total, **parts._asdict()}

    def gradient_and_laplacian(positions: Tensor) -> dict[str, Tensor]:
        gradient, laplacian_of_psi = derivatives(positions)
        if system.contact_exponent != 1.0:
            laplacian_of_psi += 2.0 * system.contact_energy(positions)
        return {"gradient": gradient, "laplacian": laplacian_of_psi - tf.reduce_sum(gradient**2, axis=1)}

    functions: dict[str, Callable] = {f.__name__: f for f in (log_psi, psi, local_energy, gradient_and_laplacian)}
    if orbitals is not None:
        functions["orbitals"] = lambda positions: {"orbitals": orbitals(positions)}
    return functions


def make_methods(
    functions: Mapping[str, Callable], n_particles: int, dtype: str
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns name -> graph function that can be saved as a method of a model: the given functions and `sample`.

    They accept positions of any shape and check it themselves, because the message of TensorFlow's check is unclear.

    Args:
        functions: as `functions_of_positions` returns them.
        n_particles: number of particles A.
        dtype: of positions and outputs.
    """
    fitting = tf.TensorSpec((None, n_particles), dtype, name="positions")
    anything = tf.TensorSpec(None, dtype, name="positions")

    def method(function: Callable[[Tensor], dict[str, Tensor]]) -> Callable:
        graph = portable(function, fitting)

        def checked(positions: Tensor) -> dict[str, Tensor]:
            return graph(tf.ensure_shape(checked_positions(positions, [n_particles]), (None, n_particles)))

        return tf.function(lambda positions: checked(positions), input_signature=[anything], autograph=False)

    methods = {name: method(function) for name, function in functions.items()}

    def log_abs_psi(positions: Tensor) -> Tensor:
        return methods["log_psi"](positions)["log_abs_psi"]

    methods["sample"] = tf.function(
        lambda seed, n_walkers, n_steps: {
            "positions": sample(log_abs_psi, seed, n_walkers, n_steps, n_particles, dtype)
        },
        input_signature=[
            tf.TensorSpec((2,), tf.int32, name="seed"),
            tf.TensorSpec((), tf.int32, name="n_walkers"),
            tf.TensorSpec((), tf.int32, name="n_steps"),
        ],
        autograph=False,
    )
    return methods


def make_signatures(
    methods: Mapping[str, Callable], n_particles: int, dtype: str
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns signature -> graph function: the methods, with the shape of their input in the signature.

    Args:
        methods: as `make_methods` returns them.
        n_particles: number of particles A.
        dtype: of positions and outputs.
    """
    positions = tf.TensorSpec((None, n_particles), dtype, name="positions")

    def signature(method: Callable[[Tensor], dict[str, Tensor]]) -> Callable:
        return tf.function(lambda positions: method(positions), input_signature=[positions], autograph=False)

    named = {name: signature(method) for name, method in methods.items() if name != "sample"}
    return {**named, "sample": methods["sample"], tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY: named["log_psi"]}


def checked_positions(positions: Tensor, n_particles: Sequence[int]) -> Tensor:
    """Returns the positions; refuses any shape but (n_walkers, A) when the graph runs.

    A signature of a loaded model accepts tensors of any shape, and networks compute numbers for many of them.

    Args:
        positions: of any shape.
        n_particles: numbers of particles A that are allowed.
    """
    given = of_unknown_shape(positions)
    shape = tf.shape(given)
    second = tf.concat([shape, [0, 0]], axis=0)[1]  # 0 where there is no such axis
    fits = tf.reduce_any(second == tf.constant(n_particles)) & (tf.size(shape) == 2)
    allowed = " or ".join(f"(n, {number})" for number in n_particles)
    of_each = n_particles[0] if len(n_particles) == 1 else "as many"
    message = f"positions must have shape {allowed}: n walkers of {of_each} particles each; the shape was"
    with tf.control_dependencies([tf.debugging.Assert(fits, [message, shape], summarize=8)]):
        return tf.ensure_shape(given, (None, None))


def of_unknown_shape(given: Tensor) -> Tensor:
    """Hides the static shape of what a client gives, which may be wrong: TensorFlow would take a check for true."""
    return tf.raw_ops.PlaceholderWithDefault(input=given, shape=None)


def sample(
    log_abs_psi: LogAbsPsi, seed: Tensor, n_walkers: Tensor, n_steps: Tensor, n_particles: int, dtype: str
) -> Tensor:
    """Returns walkers from N(0, 1) after n_steps Metropolis steps, shape (n_walkers, n_particles).

    The proposal width adapts in the first half of the steps. It is frozen in the second half, so that these steps leave
    |Psi|^2 invariant exactly.
    """
    checks = [
        tf.debugging.assert_greater_equal(n_walkers, 1, "n_walkers must be at least 1"),
        tf.debugging.assert_non_negative(n_steps, "n_steps must not be negative"),
    ]
    with tf.control_dependencies(checks):
        seed, draw = tf.unstack(tf.random.split(seed, 2))
        positions = tf.random.stateless_normal(tf.stack([n_walkers, n_particles]), draw, dtype=dtype)
        positions = tf.ensure_shape(positions, (None, n_particles))
    sampler = MetropolisHastings(global_moves=False)
    state = WalkerState(positions, seed, tf.constant(sampler.proposal_width, dtype))
    n_adaptations = n_steps // 2 // STEPS_PER_ADAPTATION

    def call(index: Tensor, state: WalkerState) -> tuple[Tensor, WalkerState]:
        moved, acceptance = sampler.sample(log_abs_psi, state, STEPS_PER_ADAPTATION)
        is_frozen = index >= n_adaptations
        return index + 1, tf.cond(is_frozen, lambda: moved, lambda: sampler.adapt(moved, acceptance))

    n_calls = n_steps // STEPS_PER_ADAPTATION  # a call draws all its moves first: many steps would need much memory
    _, state = tf.while_loop(lambda index, _: index < n_calls, call, (0, state))
    state, _ = sampler.sample(log_abs_psi, state, n_steps % STEPS_PER_ADAPTATION)
    return state.positions
