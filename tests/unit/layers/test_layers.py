"""Every layer of `tf_nqs.layers` in one harness: what Keras asks of a layer, and that arguments are checked."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs import layers
from tf_nqs.types import Jet

N_WALKERS, A, H, D = 5, 3, 6, 2
MATRICES = (N_WALKERS, D, A, A)
CASES = {
    "equivariant": (layers.EquivariantLayer, {"n_features": H, "residual": True}, [(N_WALKERS, A, H)]),
    "equivariant_first": (layers.EquivariantLayer, {"n_features": H, "residual": False}, [(N_WALKERS, A, 1)]),
    "orbitals": (layers.OrbitalLayer, {"n_orbitals": A, "n_determinants": D}, [(N_WALKERS, A, H)]),
    "envelope": (layers.LogEnvelope, {"n_orbitals": A, "n_determinants": D}, [(N_WALKERS, A)]),
    "slater_determinant": (layers.SlaterDeterminant, {}, [MATRICES, MATRICES]),
    "pair_network": (layers.PairNetwork, {"n_features": H, "n_layers": 2, "length": 0.5}, [(N_WALKERS, A, A - 1)]),
    "pair_messages": (layers.PairMessages, {}, [(N_WALKERS, A), (N_WALKERS, A, H)]),
    "symmetric_head": (layers.SymmetricHead, {}, [(N_WALKERS, A, H)]),
    "gaussian": (layers.GaussianFactor, {}, [(N_WALKERS, A)]),
    "condition_shift": (layers.ConditionShift, {"sizes": {"equivariant_1": H, "gaussian": 2}}, [(N_WALKERS, 3)]),
    "vandermonde": (layers.VandermondeFactor, {"exponent": 1.5}, [(N_WALKERS, A)]),
}
DTYPES = ["float32", "float64"]


def inputs_of(shapes, dtype):
    random = np.random.default_rng(0)
    return [tf.constant(random.normal(size=shape), dtype) for shape in shapes]


def flat_arrays(outputs):
    return [np.asarray(output) for output in tf.nest.flatten(outputs)]


def test_every_layer_is_tested():
    assert {case[0].__name__ for case in CASES.values()} == set(layers.__all__)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_dtype_shape_and_config(case, dtype):
    layer_class, arguments, shapes = CASES[case]
    layer = layer_class(name="some_name", dtype=dtype, **arguments)
    inputs = inputs_of(shapes, dtype)
    outputs = flat_arrays(layer(*inputs))
    assert {output.dtype.name for output in outputs} == {dtype}
    assert {weight.dtype for weight in layer.weights} <= {dtype}
    expected = layer.compute_output_shape(*shapes)
    if isinstance(expected, dict):
        expected = [expected[name] for name in sorted(expected)]  # as TensorFlow flattens it
    expected = expected if isinstance(expected[0], tuple) else [expected]
    assert [output.shape for output in outputs] == [tuple(shape) for shape in expected]

    copy = layer_class.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert {name: layer.get_config()[name] for name in arguments} == arguments
    copy(*inputs)
    copy.set_weights(layer.get_weights())
    for one, other in zip(flat_arrays(copy(*inputs)), outputs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("case", CASES)
def test_registered_for_serialisation(case):
    layer_class, arguments, _ = CASES[case]
    assert keras.saving.get_registered_name(layer_class) == f"tf_nqs>{layer_class.__name__}"
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer_class(**arguments)))
    assert type(restored) is layer_class


@pytest.mark.parametrize("case", CASES)
def test_batches_of_any_size_and_every_weight_has_a_gradient(case):
    layer_class, arguments, shapes = CASES[case]
    layer = layer_class(**arguments)
    inputs = inputs_of(shapes, "float32")
    with tf.GradientTape() as tape:
        outputs = tf.nest.flatten(layer(*inputs))
        total = tf.add_n([tf.reduce_sum(tf.sin(output)) for output in outputs])
    gradients = tape.gradient(total, layer.trainable_variables)
    assert all(gradient is not None and np.any(gradient != 0) for gradient in gradients)
    for one, whole in zip(flat_arrays(layer(*(x[:1] for x in inputs))), flat_arrays(outputs), strict=True):
        # A product with one row may be summed in another order: a few eps.
        np.testing.assert_allclose(one, whole[:1], rtol=1e-5, atol=1e-6)


WRONG_ARGUMENTS = [
    (layers.EquivariantLayer, {}, "n_features"),
    (layers.OrbitalLayer, {}, "n_orbitals"),
    (layers.OrbitalLayer, {"n_orbitals": 2}, "n_determinants"),
    (layers.LogEnvelope, {}, "n_orbitals"),
    (layers.LogEnvelope, {"n_orbitals": 2}, "n_determinants"),
    (layers.PairNetwork, {}, "n_features"),
    (layers.PairNetwork, {}, "n_layers"),
    (layers.PairNetwork, {}, "length"),
    (layers.VandermondeFactor, {}, "exponent"),
]


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize(("layer_class", "arguments", "name"), WRONG_ARGUMENTS)
def test_wrong_arguments_are_named(layer_class, arguments, name, value):
    with pytest.raises(ValueError, match=f"{name} = {value}"):
        layer_class(**arguments, **{name: value})


def test_residual_needs_equal_widths():
    with pytest.raises(ValueError, match="residual = True: needs 6 input features, got 1"):
        layers.EquivariantLayer(6)(tf.zeros((2, 3, 1)))


def test_equivariant_layer_is_the_formula_of_the_thesis():
    """tanh([h_i, mean(h)] W + b) + h_i, from numpy."""
    layer = layers.EquivariantLayer(H, dtype="float64")
    features = np.random.default_rng(1).normal(size=(N_WALKERS, A, H))
    output = layer(features)
    mean = np.broadcast_to(features.mean(axis=1, keepdims=True), features.shape)
    kernel, bias = layer.get_weights()
    expected = np.tanh(np.concatenate([features, mean], axis=-1) @ kernel + bias) + features
    np.testing.assert_allclose(output, expected, atol=1e-14)


@pytest.mark.parametrize("n_particles", [1, 2, 5])
@pytest.mark.parametrize(("width", "residual"), [(H, False), (1, True)])
def test_separable_derivatives_equal_all_of_them(width, residual, n_particles):
    """The first two layers, by the terms that their derivatives are made of and by the general formula."""
    first = layers.EquivariantLayer(width, residual=residual, dtype="float64")
    second = layers.EquivariantLayer(width, residual=residual, dtype="float64")
    positions = tf.constant(np.random.default_rng(2).normal(size=(N_WALKERS, n_particles)))
    features = positions[:, :, None]
    second(first(features))
    own = np.broadcast_to(np.eye(n_particles)[:, :, None], (N_WALKERS, n_particles, n_particles, 1))
    general = first.forward_laplacian(Jet(features, tf.constant(own), tf.zeros_like(features)))
    separable = first.forward_laplacian_of_positions(positions)
    for one, other in zip(separable.expanded(), general, strict=True):
        # Sums of a few numbers of order 1, in another order.
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)
    jets = second.forward_laplacian_of_separable(separable), second.forward_laplacian(general)
    for one, other in zip(*jets, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)


def test_start_values():
    """Kernels and biases are U(-1, 1)/sqrt(fan_in), biases included; the envelope is the oscillator's."""
    keras.utils.set_random_seed(0)
    layer = layers.EquivariantLayer(500, residual=True)
    layer.build((None, 3, 500))
    for weight in layer.get_weights():
        scaled = weight * np.sqrt(1000)
        assert np.max(np.abs(scaled)) <= 1.0
        # Standard error of the variance of n uniform numbers, 1/3: sqrt(4/45/n); 5 of them.
        assert abs(np.mean(scaled**2) - 1 / 3) < 5 * np.sqrt(4 / 45 / weight.size)
    # Keras rounds constants to float32, also for float64 weights.
    envelope = layers.LogEnvelope(2, dtype="float64")
    np.testing.assert_allclose(envelope(np.array([[3.0]])), np.full((1, 1, 1, 2), -4.5), rtol=1e-7)
