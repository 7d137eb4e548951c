"""The README of an exported folder, for users who do not know this package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tf_nqs.analysis import format_with_error
from tf_nqs.analysis.words import REFERENCE_WORDS
from tf_nqs.named_systems import WITH_RANGE, WITH_STRENGTH, trap_name
from tf_nqs.saved_model.recipes import RECIPES
from tf_nqs.saved_model.signatures import OUTPUTS

_TEXT = """\
# {name}: a neural wave function of {n_particles} trapped fermions

A TensorFlow SavedModel, in folder `1`. It needs only TensorFlow, neither Keras nor the package that trained it.
Lengths are in a_ho = sqrt(ħ/(m ω)), energies in ħω.

{facts}

## Signatures

n is the number of walkers, any; A = {n_particles}{determinants}. Real numbers are {dtype}.{without}

| signature | input | output | shape | dtype | unit | meaning |
|---|---|---|---|---|---|---|
{rows}

`serving_default` is `log_psi`. `positions` are those of all fermions, in a_ho, in any order.

`sample` starts `n_walkers` walkers from N(0, 1) and moves them by `n_steps` steps of random-walk Metropolis. During
the first half of the steps the width of the moves adapts to an acceptance of one half, every ten steps; in the second
half it is frozen, so that these steps leave |Psi|² invariant exactly. Take 500 steps or more. For more samples take
more walkers or another `seed`. The same seed gives the same walkers.

ln|Psi|, its gradient and its Laplacian diverge where Psi vanishes. Close to such points rounding may destroy all digits
of {dtype}, but |Psi|² is small there, so there are hardly any walkers.

## Use

```python
import tensorflow as tf

folder = "{name}/1"
model = tf.saved_model.load(folder)
seed, n_walkers, n_steps = tf.constant([0, 1]), tf.constant(1000), tf.constant(500)
positions = model.signatures["sample"](seed=seed, n_walkers=n_walkers, n_steps=n_steps)["positions"]
energy = model.signatures["local_energy"](positions=positions)["total"]
print(tf.reduce_mean(energy).numpy())
```

First and second derivatives with respect to the positions also go through `log_psi` with `tf.GradientTape`.

Under TensorFlow Serving, with this folder as the model's `base_path`:

```
curl -d '{{"signature_name": "log_psi", "inputs": {{"positions": [{example}]}}}}' \\
  http://localhost:8501/v1/models/{name}:predict
```

## Inside

{assets}

{recipes}"""

_WITHOUT_ORBITALS = (
    "\nThere is no signature `orbitals`: this wave function is not made of determinants, so it has no Slater matrices."
)

_ASSETS = {
    "config.toml": "all settings of the run",
    "curve.csv": "the measured energies of members of the family, and what they are compared with",
    "result.json": "the measured energy and all other results of the run",
    "export.json": "system and ansatz of the export, and the versions of the packages",
}


def readme(name: str, signatures: list[str], summary: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """Returns the text of the README.

    Args:
        name: of the exported folder.
        signatures: names of the signatures that take positions.
        summary: number of particles, dtype, interaction and versions.
        texts: asset's file name -> its content.
    """
    dtype, n_particles = summary["dtype"], summary["n_particles"]
    return _TEXT.format(
        name=name,
        n_particles=n_particles,
        dtype=dtype,
        determinants="; D is the number of determinants" if "orbitals" in signatures else "",
        without="" if "orbitals" in signatures else _WITHOUT_ORBITALS,
        facts="\n".join(f"- {key}: {value}" for key, value in _facts(summary, texts.get("result.json")).items()),
        rows="\n".join(_rows([*signatures, "sample"], dtype)),
        example=[round(place - (n_particles - 1) / 2, 1) for place in range(n_particles)],
        assets="\n".join(asset_lines(texts)),
        recipes=RECIPES,
    )


def _facts(summary: Mapping[str, Any], result_text: str | None) -> dict[str, str]:
    """Returns the facts about this wave function, name -> value."""
    facts = {"system": _system(summary), "parameters": f"{summary['n_parameters']:,}", "energy": "not measured"}
    result = json.loads(result_text) if result_text else {}
    if result.get("energy") is not None:
        unknown = "" if result.get("energy_error") is not None else ", its error unknown"
        energy = format_with_error(result["energy"], result.get("energy_error"))
        facts["energy"] = f"{energy} ħω, measured after training{unknown}"
    if result.get("reference_energy") is not None:
        kind = REFERENCE_WORDS.get(result["reference_kind"], result["reference_kind"])
        facts["reference energy"] = f"{result['reference_energy']:.6f} ħω ({kind})"
    if summary.get("n_iterations") is not None:
        facts["iterations"] = f"{summary['n_iterations']:,}"
    return facts | {"versions": version_words(summary)}


def asset_lines(texts: Iterable[str]) -> list[str]:
    """Returns a line about each asset, by the names of their files."""
    return [f"- `1/assets/{file}`: {_ASSETS.get(file, 'given at export')}" for file in sorted(texts)]


def version_words(summary: Mapping[str, Any]) -> str:
    """Returns the versions of the packages."""
    return ", ".join(f"{package} {version}" for package, version in summary["versions"].items())


def trap_words(summary: Mapping[str, Any]) -> str:
    """Returns what the trap is called, with its parameter."""
    traps = {"harmonic": "harmonic trap", "none": "no trap", "double_well": "double well", "quartic": "quartic trap"}
    words = traps.get(trap_name(summary["trap"]), "a custom trap")
    if (quartic := summary.get("trap_quartic")) is not None:
        words += f" x²/2 + {quartic:g} x⁴"
    if (separation := summary.get("trap_separation")) is not None:
        words += f" with minima at ±{separation:g} a_ho"
    return words


def interaction_words(summary: Mapping[str, Any], parameters: Iterable[str] = ()) -> str:
    """Returns what the interaction is called, with its parameters, those of `summary` and some more before them."""
    name = summary.get("interaction", "gaussian")
    words = {"gaussian": "Gaussian interaction", "custom": "a custom interaction", "none": "no interaction"}
    stiffness = summary.get("pair_stiffness")
    more = [f"pair stiffness {stiffness:g}"] if stiffness else []
    if name == "none" and more:
        return more[0]
    return ", ".join([words.get(name, f"{name} interaction"), *parameters, *more])


def _system(summary: Mapping[str, Any]) -> str:
    name = summary.get("interaction", "gaussian")
    parts = []
    if name in WITH_STRENGTH:
        unit = " ħω a_ho" if name in WITH_RANGE else ""
        symbol = "V0" if name == "gaussian" else "strength"
        parts += [f"{symbol} = {summary['interaction_strength']:g}{unit}"]
    parts += [f"range {summary['interaction_range']:g} a_ho"] if summary["interaction_range"] else []
    return f"A = {summary['n_particles']}, {trap_words(summary)}, {interaction_words(summary, parts)}"


def _rows(signatures: Iterable[str], dtype: str) -> Iterator[str]:
    """Yields the rows of the table of signatures."""
    inputs = {"sample": "`seed` int32 (2,), `n_walkers` int32 (), `n_steps` int32 ()"}
    for signature in signatures:
        given = inputs.get(signature, f"`positions` {dtype} (n, A)")
        for name, output in OUTPUTS[signature].items():
            meaning = output.meaning.replace("|", "\\|")  # a bar would end the cell
            yield f"| `{signature}` | {given} | `{name}` | {output.shape} | {dtype} | {output.unit} | {meaning} |"
