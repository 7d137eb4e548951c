"""Measures the network that the package ships at 50 held-out systems, and writes its model card.

Usage: python -m benchmarks.model_card [--run_dir=runs/pretrained] [--install] [--measure_seconds=60]

Without --run_dir the shipped network is measured, and the card is printed. --install copies settings and weights of the
run into tf_nqs/pretrained, and writes the card there. The network comes from
`python train.py --config=configs/pretrained.toml --run_dir=runs/pretrained`, the references from
`python -m benchmarks.references`.
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.family import Deviation, measure, summary
from benchmarks.references import Row, read_rows
from benchmarks.report import say
from tf_nqs.analysis import format_with_error
from tf_nqs.config import Settings, to_toml
from tf_nqs.experiment.build import load
from tf_nqs.named_ansatze import ALL_SIZES
from tf_nqs.storage.files import replace_text
from tf_nqs.storage.pretrained import CARD_FILE, pretrained_folder
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.storage.weights_file import iterations_of_weights

TRAIN = "python train.py --config=configs/pretrained.toml --run_dir=runs/pretrained"
INSTALL = "python -m benchmarks.model_card --run_dir=runs/pretrained --install"

_TEXT = """\
# Model card of the shipped network

One network has the ground states of a family of systems: {numbers} fermions in a harmonic trap with a Gaussian
interaction, V0 = {strengths} and sigma0 = {ranges} (lengths in a_ho, energies in ħω).

```python
import tf_nqs

system, ansatz, settings = tf_nqs.pretrained().at(n_particles=4, interaction_strength=7.3, interaction_range=0.5)
```

## How it was trained

```
{train}
{install}
```

- wave function: `{ansatz}` ({sizes}), {n_parameters:,} parameters in {dtype}
- training: {training}
- data: none; the energy is minimised by variational Monte Carlo

## Measured error

Measured at {n_rows} systems that were not trained on, because training draws its systems at random: ten for each A,
spread over V0 and sigma0 by the Halton sequence. The weights are frozen. E is the energy with the error of the last
digits in brackets, or without an error if that is unknown; a reference is exact up to its uncertainty for A = 2
(relative coordinate), and an upper bound for larger A (diagonalisation).

{summaries}

| A | V0 | sigma0 | E | reference | E - reference | variance |
|---|---|---|---|---|---|---|
{rows}

## Limits

- Systems outside of these ranges are refused; `extrapolate=True` allows other strengths and ranges, but nothing is
  known about their accuracy.
- For other numbers of particles, traps and interactions, train a run of your own. If only V0 and sigma0 differ,
  `--transfer_from=pretrained` starts the run from the member of its own system.
- Energies are variational: the energy of a member lies above that of the ground state, up to its statistical error.
- For a better energy than in the table, train a run from the member; `python -m tf_nqs.diffuse` then gives the exact
  energy.
"""


def card(settings: Settings, n_parameters: int, training: str, found: Sequence[Deviation], rows: Sequence[Row]) -> str:
    """Returns the text of the card.

    Args:
        settings: of the run.
        n_parameters: of the network.
        training: what is known of the training.
        found: the measured deviations.
        rows: their references, in the same order.
    """
    ansatz = settings.ansatz.resolved(settings.system)
    sizes = ", ".join(f"{name} = {ansatz[name]:g}" for name in ALL_SIZES if ansatz.get(name))
    numbers = ", ".join(map(str, sorted(settings.family.n_particles)))
    strengths, ranges = (
        f"{min(values):g} to {max(values):g}"
        for values in (settings.family.interaction_strength, settings.family.interaction_range)
    )
    return _TEXT.format(
        numbers=numbers,
        strengths=strengths,
        ranges=ranges,
        train=TRAIN,
        install=INSTALL,
        ansatz=settings.ansatz.ansatz,
        sizes=sizes,
        n_parameters=n_parameters,
        dtype=settings.ansatz.dtype,
        training=training,
        n_rows=len(found),
        summaries="\n".join(f"- {line}" for line in summary(list(found))),
        rows="\n".join(_row(one, row) for one, row in zip(found, rows, strict=True)),
    )


def _row(one: Deviation, row: Row) -> str:
    energy = format_with_error(row.reference_energy + one.deviation, one.error)
    system = f"{one.n_particles} | {one.interaction_strength:g} | {one.interaction_range:g}"
    return f"| {system} | {energy} | {row.reference_energy:.6f} | {one.deviation:+.1e} | {one.variance:.1e} |"


def training_words(folder: RunFolder) -> str:
    """Returns what is known of the training of a run."""
    result: dict[str, Any] = folder.result_values
    n_iterations = iterations_of_weights(folder.weights)
    words = [f"{n_iterations:,} iterations"] if n_iterations is not None else []
    words += [f"{result['seconds_training'] / 60:.0f} minutes"] if result.get("seconds_training") is not None else []
    settings = folder.settings
    systems = settings.family.n_conditions * len(settings.family.n_particles)
    return ", ".join(
        [*words, f"{systems} systems of {settings.family.walkers_per_condition} walkers in each iteration"]
    )


def install(source: RunFolder, target: Path) -> None:
    """Copies the settings and the weights of a run; the names of its folders and its limit of time stay behind."""
    settings = source.settings.filled()
    run = settings.run.model_copy(update={"run_dir": None})
    training = settings.training.model_copy(update={"max_seconds": None})
    target.mkdir(exist_ok=True)
    update = {"run": run, "training": training}
    replace_text(target / source.config.name, to_toml(settings.model_copy(update=update)))
    shutil.copyfile(source.weights, target / source.weights.name)


def main(arguments: list[str] | None = None) -> None:
    """Measures, and prints or installs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", help="folder of the run; default: the shipped network")
    parser.add_argument("--install", action="store_true", help="ship the network of this run")
    parser.add_argument("--measure_seconds", type=float, default=60.0, help="maximum seconds for each system")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="measure only one system in N")
    flags = parser.parse_args(arguments)
    if flags.install and not flags.run_dir:
        parser.error("--install needs --run_dir")
    folder = RunFolder.finished(flags.run_dir or pretrained_folder())
    known = [row for row in read_rows("card") if math.isfinite(row.reference_energy)]
    rows = known[:: flags.every]
    found = measure(folder.path, rows, flags.measure_seconds)
    n_parameters = load(folder.path).ansatz.count_params()
    text = card(folder.settings, n_parameters, training_words(folder), found, rows)
    if not flags.install:
        say(text)
        return
    install(folder, pretrained_folder())
    replace_text(pretrained_folder() / CARD_FILE, text)
    for line in summary(found):
        say(line)
    say(f"rms of all: {np.sqrt(np.mean([one.deviation**2 for one in found])):.1e}")


if __name__ == "__main__":
    main()
