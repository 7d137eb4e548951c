"""Trainers of runs of single systems: what measures one run after the other, and compiles once for runs alike."""

from __future__ import annotations

from tf_nqs.config import Settings
from tf_nqs.config.shape import measured_shape
from tf_nqs.experiment.build import Run, build_ansatz, build_system, build_trainer
from tf_nqs.physics.contact_zone import ContactZone, contact_zone
from tf_nqs.training import VariationalMonteCarlo
from tf_nqs.training.walker_group import walkers_of_family


class SharedTrainers:
    """One trainer for each shape of runs, which goes from run to run.

    Weights and parameters of the system are data of its compiled functions. For every run its walkers start where those
    of a trainer of its own would, so a run's numbers do not depend on those measured before.
    """

    def __init__(self) -> None:
        self._trainers: dict[tuple[str, ContactZone | None], VariationalMonteCarlo] = {}

    def at(self, run: Run, settings: Settings) -> VariationalMonteCarlo:
        """Returns a compiled trainer with a run's wave function and system, and new walkers; it is at iteration 0.

        Args:
            run: of a single system; its own ansatz and system stay as they are.
            settings: of the run, overridden by those of the command line.

        Raises:
            SettingsError: it is the run of a family.
        """
        system = run.of_one_system()
        key = measured_shape(settings), contact_zone(system)
        if key not in self._trainers:
            own = Run(build_system(settings), build_ansatz(settings), settings)
            self._trainers[key] = build_trainer(settings, own.of_one_system(), own.ansatz)
        trainer = self._trainers[key]
        trainer.ansatz.set_weights(run.ansatz.get_weights())
        trainer.system.assign(
            system.interaction_strength,
            system.interaction_range,
            system.pair_stiffness,
            system.named.trap_quartic,
            system.named.trap_separation,
        )
        policy = trainer.ansatz.dtype_policy
        start = walkers_of_family(trainer.sampler, trainer.system, None, None, settings.run.seed, policy)
        trainer.place_walkers(start.walkers, burn_in=True)
        return trainer
