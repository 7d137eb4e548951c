"""The callback by which one training continues another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from tf_nqs.callbacks.checkpoint import save_weights
from tf_nqs.execution.agreement import is_chief


class TrainerState(keras.callbacks.Callback):
    """Takes the state of a trainer over from an earlier training, and keeps it for a later one.

    The state is all of it: weights, optimiser, natural gradient, walkers, random key and the number of iterations. A
    continued training behaves as it would have without the break.

    Args:
        continued: file that an earlier training has kept; None for a training from the start.
        kept: file to write when training ends, ending in `.weights.h5`; None for none.
    """

    def __init__(self, continued: str | Path | None = None, kept: str | Path | None = None):
        super().__init__()
        self.continued = continued
        self.kept = kept

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.continued is not None:
            self.model.load_weights(self.continued)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.kept is not None and is_chief():
            save_weights(self.model, Path(self.kept))
