"""A finished run, read back to be measured. Loads TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tf_nqs.commands.finished_run import Request
from tf_nqs.commands.member_flags import settings_of_member
from tf_nqs.config import RunFolderError, Settings, settings_from
from tf_nqs.execution.workers import Workers, joined
from tf_nqs.experiment import build as builders
from tf_nqs.experiment.preflight import check_spread, shared_text
from tf_nqs.storage.files import folder_errors, one_at_a_time
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.storage.weights_file import iterations_of_run
from tf_nqs.training import VariationalMonteCarlo


class OpenedRun(NamedTuple):
    """A run read back from its folder.

    Attributes:
        settings: the run's own, overridden by those of the command line.
        vmc: a compiled trainer with the run's trained weights, and new walkers.
        n_iterations: number of training iterations behind the weights; None where no file says it.
        workers: that measure it; the chief alone writes.
    """

    settings: Settings
    vmc: VariationalMonteCarlo
    n_iterations: int | None
    workers: Workers

    def title(self) -> str:
        """Returns the headline of pictures: the system, and the iterations where they are known."""
        system = self.settings.system.title()
        return system if self.n_iterations is None else f"{system}, after {self.n_iterations} iterations"


def open_run(request: Request) -> OpenedRun:
    """Returns a run with a trainer that can sample it.

    Raises:
        SettingsError: the folder holds no run that can be read.
    """
    settings = settings_of_member(settings_from(request.folder.config, request.overrides), request.member)
    workers = workers_of([settings], request.own)
    with workers.scope():
        run = builders.read_run(request.folder)
        if request.member is not None:
            run = run.at(**request.member.values)
        trainer = builders.build_trainer(settings, run.system, run.ansatz)
    return OpenedRun(settings, trainer, iterations_of_run(request.folder), workers)


@contextlib.contextmanager
def written_into(request: Request, run: OpenedRun) -> Iterator[None]:
    """Lets the results of a measurement be written inside the `with` block, unless the training was continued.

    Then they are those of old weights, and the training has put away all of their kind.

    Raises:
        SettingsError: the training was continued meanwhile, or the folder cannot be written.
    """
    folder = request.folder
    with folder_errors("run_dir", folder.path), one_at_a_time(folder.path):
        has_begun = bool(folder.result_values) and not folder.result.is_file()
        if has_begun or iterations_of_run(RunFolder(folder.path)) != run.n_iterations:
            raise RunFolderError(
                f"{folder}: its training was continued during the measurement, of which nothing is written; "
                "measure again once the training has ended"
            )
        yield


def workers_of(settings: Sequence[Settings], own: object) -> Workers:
    """Returns the workers of a measurement, who have been asked for the same.

    Args:
        settings: of all that is measured; the first ones say where.
        own: what else was asked for.

    Raises:
        SettingsError: there are none, the walkers cannot be spread over them, or they have been asked for other things.
    """
    workers = joined(settings[0].distribution)
    workers.check_same(repr([shared_text(one, own) for one in settings]))
    for one in settings:
        check_spread(one, workers.n_replicas)
    return workers
