"""The README of the export of a family, for users who do not know this package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tf_nqs.saved_model.readme import asset_lines, interaction_words, trap_words, version_words
from tf_nqs.saved_model.recipes import FAMILY_RECIPES
from tf_nqs.saved_model.signatures import OUTPUTS

_TEXT = """\
# {name}: neural wave functions of a family of systems of trapped fermions

A TensorFlow SavedModel, in folder `1`. It needs only TensorFlow, neither Keras nor the package that trained it.
Lengths are in a_ho = sqrt(ħ/(m ω)), energies in ħω. One network has the wave functions of all systems of the family:

{facts}

{bounds}

## Signatures

n is the number of walkers, any; A is the number of particles, {numbers}{determinants}. Real numbers are {dtype}.

| signature | input | output | shape | dtype | unit | meaning |
|---|---|---|---|---|---|---|
{rows}

`serving_default` is `log_psi`. `positions` are those of all fermions, in a_ho, in any order; their number says which
A is meant. {parameters} a number, or one for each walker, of shape (n,); for `sample` a number.

`sample` starts `n_walkers` walkers from N(0, 1) and moves them by `n_steps` steps of random-walk Metropolis. During
the first half of the steps the width of the moves adapts to an acceptance of one half, every ten steps; in the second
half it is frozen, so that these steps leave |Psi|² invariant exactly. Take 500 steps or more. The same seed gives the
same walkers.

ln|Psi|, its gradient and its Laplacian diverge where Psi vanishes. Close to such points rounding may destroy all digits
of {dtype}, but |Psi|² is small there, so there are hardly any walkers.

## Use

```python
import csv
import json
from pathlib import Path

import tensorflow as tf

folder = "{name}/1"
model = tf.saved_model.load(folder)
trained = json.loads(Path(folder, "assets", "export.json").read_text(encoding="utf-8"))
n_particles, interaction_strength, interaction_range = {example}
positions = model.sample([0, 1], 1000, 500, n_particles, {arguments})["positions"]
energy = model.local_energy(positions, {arguments})["total"]
print(tf.reduce_mean(energy).numpy())
```

## Inside

{assets}

{recipes}"""


def family_readme(name: str, signatures: list[str], summary: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """Returns the text of the README.

    Args:
        name: of the exported folder.
        signatures: names of the signatures that take positions.
        summary: the content of `export.json`.
        texts: asset's file name -> its content.
    """
    names = ["interaction_strength"] + (["interaction_range"] if summary["interaction_range"] else [])
    text = _TEXT.format(
        name=name,
        numbers=" or ".join(map(str, summary["n_particles"])),
        determinants="; D is the number of determinants" if "orbitals" in signatures else "",
        dtype=summary["dtype"],
        facts="\n".join(f"- {key}: {value}" for key, value in _facts(summary).items()),
        bounds=_BEYOND if summary["is_extrapolated"] else _BOUNDS,
        rows="\n".join(_rows([*signatures, "sample"], names, summary["dtype"])),
        parameters=" and ".join(f"`{one}`" for one in names) + (" is" if len(names) == 1 else " are each"),
        example=_example(summary),
        arguments=", ".join(names),
        assets="\n".join(asset_lines(texts)),
        recipes=FAMILY_RECIPES,
    )
    return text if summary["interaction_range"] else text.replace(", interaction_range)", ")")


_BOUNDS = "Parameters outside of these ranges are refused."
_BEYOND = "Parameters outside of these ranges were not trained; they are not refused."


def _facts(summary: Mapping[str, Any]) -> dict[str, str]:
    """Returns the facts about the family, name -> value."""
    facts = {
        "A": ", ".join(map(str, summary["n_particles"])),
        "system": f"{trap_words(summary)}, {interaction_words(summary)}",
        "`interaction_strength`": _range(summary["interaction_strength"]),
    }
    if summary["interaction_range"]:
        facts["`interaction_range`"] = f"{_range(summary['interaction_range'])} a_ho"
    facts |= {"parameters": f"{summary['n_parameters']:,}"}
    if summary.get("n_iterations") is not None:
        facts["iterations"] = f"{summary['n_iterations']:,}"
    return facts | {"versions": version_words(summary)}


def _range(ends: list[float]) -> str:
    low, high = ends
    return f"{low:g} to {high:g}" if low < high else f"{low:g}"


def _example(summary: Mapping[str, Any]) -> str:
    """Returns one member: the number of particles, and the middle of the ranges."""
    middle = (round(sum(summary[name] or [1.0, 1.0]) / 2, 3) for name in ("interaction_strength", "interaction_range"))
    return ", ".join(map(str, (summary["n_particles"][0], *middle)))


def _rows(signatures: Iterable[str], names: list[str], dtype: str) -> Iterator[str]:
    """Yields the rows of the table of signatures."""
    integers = "`seed` int32 (2,), `n_walkers` int32 (), `n_steps` int32 (), `n_particles` int32 ()"
    for signature in signatures:
        is_sample = signature == "sample"
        first = integers if is_sample else f"`positions` {dtype} (n, A)"
        given = ", ".join([first, *(f"`{name}` {dtype} {'()' if is_sample else '() or (n,)'}" for name in names)])
        for name, output in OUTPUTS[signature].items():
            meaning = output.meaning.replace("|", "\\|")  # a bar would end the cell
            yield f"| `{signature}` | {given} | `{name}` | {output.shape} | {dtype} | {output.unit} | {meaning} |"
