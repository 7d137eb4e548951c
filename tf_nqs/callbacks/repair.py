"""The callback that brings a training back after a fault."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from tf_nqs import defaults
from tf_nqs.analysis.conditions import PARAMETERS, system_name
from tf_nqs.analysis.faults import find_fault, find_fault_of_systems, no_memory, remember
from tf_nqs.callbacks.early_stopping import EnergyEarlyStopping
from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.physics.bounds import lowest_energies, lowest_energy
from tf_nqs.training.rollback import (
    Snapshot,
    fits,
    make_gentler,
    restore_snapshot,
    state_fault,
    take_snapshot,
)
from tf_nqs.whole_numbers import whole_number

logger = logging.getLogger(__name__)


class RepairTraining(IterationCallback):
    """Rolls a training back to its last good state after a fault, and lets it go on more gently.

    A fault is an iteration without any finite energy, an energy that has exploded, or that no state can have, weights
    or a state of the optimiser that are not finite, or a proposal width that is not above 0. It is looked for after
    every call. Each system of a family is judged by its own energies and its own bound: the mean over many systems
    hides one that diverges. What a single iteration can bear is no fault: walkers without a finite local energy are
    left out, lost walkers restarted. A fall of the energy is none either, unless it ends below the potentials' minimum.

    The last good state is the one before the last call without a fault: the energies of that call have shown that its
    weights are sound, which is not known yet of those that the call has ended with. After a rollback steps are half as
    long, the damping of a natural gradient is ten times as large, and random numbers are others, see `make_gentler`.
    Iterations that were rolled back stay counted, and stay in what other callbacks see, but early stopping forgets its
    windows. When `max_repairs` are used up, training ends as failed, in the last good state.

    Solutions that a natural gradient has thrown away, see `NaturalGradient`, are no fault either, but they are logged
    after the call, as what is restarted or left out is at the end.

    It changes nothing in a training without a fault. It belongs before all other callbacks, so that they see what it
    leaves.

    Args:
        max_repairs: largest number of rollbacks; 0 lets the first fault end training.
        early_stopping: the training's, if it has one.

    Attributes:
        n_repairs: rollbacks so far.
        n_restarted: walkers that were restarted so far.
        failure: why training has failed; None if it has not.

    Raises:
        ValueError: max_repairs is below 0.
    """

    def __init__(
        self,
        max_repairs: int = defaults.MAX_REPAIRS,
        early_stopping: EnergyEarlyStopping | None = None,
    ):
        super().__init__()
        self.max_repairs = whole_number("max_repairs", max_repairs)
        self.early_stopping = early_stopping

    def begin(self, state: dict[str, Any] | None) -> None:
        self.failure: str | None = None
        self._lowest_energy = lowest_energy(self.model.system)
        self._recent: Snapshot | None = None
        record = self.model.condition_record
        nothing = no_memory(*(() if record is None else record.shape[1:2]))
        state = state or {"good": None, "memory": nothing, "counts": (0, 0, 0, 0)}
        good = state["good"]
        self._good = good and Snapshot(
            good["iteration"], {name: np.asarray(one) for name, one in good["values"].items()}
        )
        # A family's memory of earlier versions has the means over its systems.
        self._memory = state["memory"] if state["memory"].shape[2:] == nothing.shape[2:] else nothing
        self.n_repairs, self.n_restarted, self._n_non_finite, self._n_local_energies = state["counts"]

    def get_state(self) -> dict[str, Any]:
        good = self._good and {
            "iteration": self._good.iteration,
            "values": {name: np.asarray(value) for name, value in self._good.values.items()},
        }
        counts = (self.n_repairs, self.n_restarted, self._n_non_finite, self._n_local_energies)
        return {"good": good, "memory": self._memory, "counts": counts}

    @property
    def non_finite_share(self) -> float:
        """Share of the local energies so far that were not finite, and so were left out."""
        return self._n_non_finite / max(self._n_local_energies, 1)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        del epoch, logs
        self._n_rejected = self._rejected()
        self._recent = take_snapshot(self.model) if state_fault(self.model) is None else None
        if self._good is None or not fits(self.model, self._good):
            self._good = self._recent

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        self.n_restarted += int(np.sum(rows["n_restarted"]))
        self._n_non_finite += int(np.sum(rows["n_non_finite"]))
        self._n_local_energies += len(rows["iteration"]) * self.model.n_walkers_in_all
        judged = self._judged(rows)
        fault = self._energy_fault(judged) or state_fault(self.model)
        if fault is None:
            self._good = self._recent or self._good
            self._memory = remember(self._memory, judged)
            self._tell_rejected(*(int(rows["iteration"][index]) for index in (0, -1)))
        else:
            self._repair(fault, int(rows["iteration"][-1]))

    def _judged(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The columns that energies are judged by: of a family those of its systems."""
        if self.model.condition_record is None:
            return rows
        return self.model.recent_conditions() | {"iteration": rows["iteration"]}

    def _energy_fault(self, rows: dict[str, np.ndarray]) -> str | None:
        """The first fault of the energies, with the name of the family's system that has it."""
        if self.model.condition_record is None:
            return find_fault(rows, self._memory, self._lowest_energy)
        places = [rows[name] for name in PARAMETERS]
        found = find_fault_of_systems(rows, self._memory, lowest_energies(self.model.system, *places))
        if found is None:
            return None
        place = [float(one[found.row, found.systems[0]]) for one in places]
        n_others = len(found.systems) - 1
        others = f" ({n_others} other system{'s have faults' if n_others > 1 else ' has a fault'} too)"
        return f"{system_name(self.model.system.interaction, *place)}: {found.text}{others if n_others else ''}"

    def _rejected(self) -> int:
        """Solves of the natural gradient that have failed so far."""
        gradient = self.model.natural_gradient
        return int(gradient.n_rejected.numpy()) if gradient else 0

    def _tell_rejected(self, first: int, last: int) -> None:
        """Says how many solves have failed in a call, by its first and last iteration, if any has."""
        if n_rejected := self._rejected() - self._n_rejected:
            solves = f"{n_rejected} natural-gradient solve{'s' * (n_rejected > 1)}"
            logger.info(f"iterations {first} to {last}: {solves} without a finite step, so the damping was raised")

    def _repair(self, fault: str, iteration: int) -> None:
        """Rolls back, then continues or fails."""
        if self._good is None:
            self._fail(f"training failed after iteration {iteration}: {fault}; there is no good state to go back to")
            return
        restore_snapshot(self.model, self._good)
        back = f"back to the state after iteration {self._good.iteration}"
        if self.n_repairs >= self.max_repairs:
            used = f"all repairs (max_repairs = {self.max_repairs}) are used up"
            self._fail(f"training failed after iteration {iteration}: {fault}; {used}; {back}")
            return
        self.n_repairs += 1
        make_gentler(self.model)
        # If it fails once more before a good call, the next repair starts from gentler settings than this one.
        self._good = take_snapshot(self.model)._replace(iteration=self._good.iteration)
        if self.early_stopping:
            self.early_stopping.start_anew()
        factor = float(self.model.step_factor.numpy())
        logger.info(
            f"repair {self.n_repairs} of at most {self.max_repairs} after iteration {iteration}: {fault}; {back}, "
            f"steps from now on {factor:g} times as long"
        )

    def _fail(self, why: str) -> None:
        self.failure = why
        logger.info(why)
        self.stop("failed")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._n_non_finite:
            share = f"{100 * self.non_finite_share:.2g} %"
            logger.info(f"{self._n_non_finite} local energies of the training ({share}) were not finite and left out")
        if self.n_restarted:
            logger.info(f"{self.n_restarted} walkers were lost or stuck, and restarted where others stood")
