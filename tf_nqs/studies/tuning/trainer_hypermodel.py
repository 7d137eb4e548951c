"""Your own trainers in keras-tuner's own searches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import keras_tuner
from keras_tuner.src.engine.tuner_utils import SaveBestEpoch

from tf_nqs import defaults
from tf_nqs.training import VariationalMonteCarlo
from tf_nqs.whole_numbers import whole_number


class TrainerHyperModel(keras_tuner.HyperModel):
    """Lets `keras_tuner.Hyperband` and its other tuners search over trainers: any ansatz, system and optimiser.

    keras-tuner counts in epochs; here an epoch is a number of iterations. The objective of a trial is the measured
    energy plus its error, not the lowest of many noisy energies, and Hyperband continues a trial from its last state,
    not from that of the luckiest call.

    Such a search is `keras_tuner.Hyperband(TrainerHyperModel(build_trainer, iterations_per_epoch=100),
    objective=keras_tuner.Objective("energy", "min"), max_epochs=9)`.
    `python -m tf_nqs.tune` is the alternative: whole runs with a folder each, compared at equal seconds.

    Args:
        build_trainer: given the hyperparameters, returns a compiled trainer.
        iterations_per_epoch: number of iterations that count as one epoch.
        target_error: target of the error of the measured energy, in hbar*omega.
        max_seconds: longest duration of one measurement.
    """

    def __init__(
        self,
        build_trainer: Callable[[keras_tuner.HyperParameters], VariationalMonteCarlo],
        iterations_per_epoch: int = 100,
        target_error: float = defaults.TARGET_ERROR,
        max_seconds: float = defaults.EVALUATION_MAX_SECONDS,
    ):
        super().__init__(name="trainer")
        self.build_trainer = build_trainer
        self.iterations_per_epoch = whole_number("iterations_per_epoch", iterations_per_epoch, 1)
        self.target_error = target_error
        self.max_seconds = max_seconds

    def build(self, hp: keras_tuner.HyperParameters) -> VariationalMonteCarlo:
        """Returns the compiled trainer of a trial."""
        return self.build_trainer(hp)

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: VariationalMonteCarlo,
        epochs: int = 1,
        initial_epoch: int = 0,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        verbose: Any = 0,
    ) -> dict[str, float]:
        """Trains and measures; keras-tuner calls it with the arguments of `tuner.search`.

        Args:
            hp: of the trial.
            model: returned by `build`, in the state of the trial that it continues, if any.
            epochs: number of epochs at the end of the trial.
            initial_epoch: number of epochs done before.
            callbacks: of the training.
            verbose: as for `VariationalMonteCarlo.fit`.

        Returns:
            Objective `energy`: the measured energy plus its error, in hbar*omega.
        """
        del hp
        savers = [one for one in callbacks if isinstance(one, SaveBestEpoch)]
        others = [one for one in callbacks if one not in savers]
        model.fit(self.iterations_per_epoch * (epochs - initial_epoch), callbacks=others, verbose=verbose)
        for saver in savers:
            model.save_weights(saver.filepath)
        measured = model.evaluate_energy(self.target_error, self.max_seconds)
        return {"energy": measured.energy + measured.energy_error}
