"""Recipes for an exported wave function: a part of the README of every export.

The code needs only TensorFlow and NumPy. Its names `folder`, `model` and `positions` are those of the README's example.
"""

from __future__ import annotations

_INTRODUCTION = """\
## Recipes

The code continues the example under "Use".

"""

_CALL = """\
### Call it

Every signature but `serving_default` is a method too. A method takes tensors, arrays and lists:

```python
values = model.log_psi(positions)
sign, log_abs_psi = values["sign"], values["log_abs_psi"]
walkers = model.sample([0, 1], 100, 500)["positions"]  # seed, n_walkers, n_steps
```

Positions of any other shape than (n, A) raise the error `positions must have shape (n, A)`; for a single walker write
`x[None, :]`. Convert a tensor of another precision with `tf.cast` first.

"""

_FINE_TUNE = '''\
### Parameters and fine-tuning

`model.parameters` is the list of all weights, as `tf.Variable`s. Derivatives with respect to them go through
`model.log_psi`, and the gradient of the energy is dE = 2 ⟨(e_L - E) d ln|Psi|⟩. Plain gradient descent lowers the
energy:

```python
import numpy as np


def fine_tune(model, n_iterations, learning_rate=0.01, n_walkers=1000, n_steps=200):
    """Changes the parameters in place; returns the energy before each iteration."""
    history = []
    for iteration in range(n_iterations):
        x = model.sample([1, iteration], n_walkers, n_steps)["positions"]
        energies = model.local_energy(x)["total"].numpy()
        history.append(np.mean(energies))
        middle = np.median(energies)  # a few walkers next to a node must not decide the step
        bound = 5 * np.mean(np.abs(energies - middle))
        clipped = np.clip(energies, middle - bound, middle + bound)
        factors = 2 * (clipped - np.mean(clipped)) / len(clipped)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(factors * model.log_psi(x)["log_abs_psi"])
        for variable, gradient in zip(model.parameters, tape.gradient(loss, model.parameters)):
            if gradient is not None:
                variable.assign_sub(learning_rate * gradient)
    return history
```

The learning rate must suit the network: if the energy rises, take a smaller one.

'''

_SAVE = '''\
### Save it again

`tf.saved_model.save(model, folder)` keeps the methods but loses the signatures. Pass them:

```python
def save_again(model, folder):
    """Writes the model with its current parameters, and all its signatures."""
    tf.saved_model.save(model, folder, signatures=dict(model.signatures))
```

'''

_OVERLAP = '''\
### Overlap of two states

|⟨Psi_1|Psi_2⟩|² / (⟨Psi_1|Psi_1⟩ ⟨Psi_2|Psi_2⟩) = ⟨Psi_2/Psi_1⟩_1 ⟨Psi_1/Psi_2⟩_2, where ⟨ ⟩_1 is the mean over walkers
drawn from |Psi_1|². Neither state needs to be normalised. 1 is the same state, 0 an orthogonal one.

```python
def overlap(one, other, n_walkers=10_000, n_steps=500):
    """Returns the overlap of two models of equal particle number and precision, and its standard error."""
    means, errors, shift = [], [], None
    for first, second in ((one, other), (other, one)):
        x = first.sample([2, len(means)], n_walkers, n_steps)["positions"]
        below, above = first.log_psi(x), second.log_psi(x)
        log_ratio = (above["log_abs_psi"] - below["log_abs_psi"]).numpy().astype(np.float64)
        shift = np.median(log_ratio) if shift is None else -shift  # it cancels in the product
        ratio = above["sign"].numpy() * below["sign"].numpy() * np.exp(log_ratio - shift)
        means.append(np.mean(ratio))
        errors.append(np.std(ratio) / np.sqrt(n_walkers))
    return means[0] * means[1], np.hypot(means[0] * errors[1], means[1] * errors[0])
```

'''

_NORM = '''\
### Norm

Psi is not normalised. The integral of |Psi|² over all positions comes from points drawn from a Gaussian that is wider
than |Psi|². More particles need more points: look at the error.

```python
def log_norm(model, n_points=100_000):
    """Returns the logarithm of the integral of |Psi|^2, and its standard error."""
    walkers = model.sample([3, 0], 1000, 500)["positions"]
    n_particles, dtype = walkers.shape[1], walkers.dtype
    centre, width = np.mean(walkers), 1.2 * np.std(walkers)
    standard = tf.random.stateless_normal((n_points, n_particles), [3, 1], dtype=dtype).numpy()
    log_abs_psi = model.log_psi((centre + width * standard).astype(dtype.as_numpy_dtype))["log_abs_psi"].numpy()
    log_drawn = -0.5 * np.sum(standard**2, axis=1) - n_particles * np.log(width * np.sqrt(2 * np.pi))
    log_ratio = 2 * log_abs_psi.astype(np.float64) - log_drawn
    ratio = np.exp(log_ratio - np.max(log_ratio))
    return np.max(log_ratio) + np.log(np.mean(ratio)), np.std(ratio) / np.mean(ratio) / np.sqrt(n_points)
```

Psi / exp(log_norm / 2) is normalised.

'''

_LITE = '''\
### TensorFlow Lite

Models in float32 can be converted, a signature at a time; `log_psi`, `psi`, `local_energy` and
`gradient_and_laplacian` were tested. TensorFlow Lite does not check the shape of positions.

```python
def to_lite(folder, signature):
    """Returns the bytes of a .tflite file."""
    return tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[signature]).convert()


lite = to_lite(folder, "log_psi")
runner = tf.lite.Interpreter(model_content=lite).get_signature_runner("log_psi")
lite_values = runner(positions=positions.numpy())
```

`tf.lite.Interpreter` is deprecated; the package `ai_edge_litert` has the same class.
'''

_FAMILY = '''\
## Recipes

The code continues the example under "Use".

### Call it

Every signature but `serving_default` is a method too. A method takes tensors, arrays, lists and numbers. A parameter is
a number, or one for each walker, so that walkers of several systems can be evaluated in one call:

```python
import numpy as np

model = tf.saved_model.load(folder)
strengths = np.linspace(*trained["interaction_strength"], len(positions), dtype=positions.dtype.as_numpy_dtype)
values = model.log_psi(positions, strengths, interaction_range)
sign, log_abs_psi = values["sign"], values["log_abs_psi"]
```

Derivatives with respect to parameters and positions go through `log_psi` with `tf.GradientTape`.

### One member

A `Member` has the methods of a model of one system, so that code for such models takes it:

```python
class Member:
    """One system of the family."""

    def __init__(self, family, n_particles, *parameters):
        self.family, self.n_particles, self.parameters = family, n_particles, parameters

    def sample(self, seed, n_walkers, n_steps):
        return self.family.sample(seed, n_walkers, n_steps, self.n_particles, *self.parameters)

    def log_psi(self, positions):
        return self.family.log_psi(positions, *self.parameters)

    def local_energy(self, positions):
        return self.family.local_energy(positions, *self.parameters)
```

### Draw a curve

```python
def curve(model, strengths, n_particles, *further, n_walkers=2000, n_steps=500):
    """Returns the energy at each strength, and its standard error; `further` is the range of the interaction."""
    energies, errors = [], []
    for index, strength in enumerate(strengths):
        member = Member(model, n_particles, strength, *further)
        positions = member.sample([4, index], n_walkers, n_steps)["positions"]
        local_energies = member.local_energy(positions)["total"].numpy().astype(np.float64)
        energies.append(np.mean(local_energies))
        errors.append(np.std(local_energies) / np.sqrt(n_walkers))
    return np.array(energies), np.array(errors)
```

`plt.errorbar(strengths, *curve(model, strengths, n_particles, interaction_range))` of Matplotlib draws it. If the curve
had been measured before the export, its table is `1/assets/curve.csv`:

```python
def measured_curve(folder):
    """Returns the rows of the measured curve, column -> text each; none if it was not measured before the export."""
    file = Path(folder, "assets", "curve.csv")
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines())) if file.is_file() else []
```

'''

RECIPES = _INTRODUCTION + _CALL + _FINE_TUNE + _SAVE + _OVERLAP + _NORM + _LITE
"""Markdown."""

FAMILY_RECIPES = _FAMILY + _OVERLAP + _NORM
"""The same for a family; overlap and norm take members in place of models."""
