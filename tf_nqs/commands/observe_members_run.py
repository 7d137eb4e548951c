"""The work of `python -m tf_nqs.observe` on several members of a family. Loads TensorFlow."""

from __future__ import annotations

import logging

from tf_nqs.commands.finished_run import Request
from tf_nqs.commands.member_flags import settings_of_member
from tf_nqs.commands.observe_run import measure_and_write, say_written
from tf_nqs.commands.opened_run import OpenedRun, workers_of
from tf_nqs.commands.several_members import MembersRequest
from tf_nqs.config import Settings, settings_from
from tf_nqs.experiment.build import read_run
from tf_nqs.experiment.members import MemberTrainers
from tf_nqs.measurement.evaluation import warm_up_measurement
from tf_nqs.observables import compiled_orbitals
from tf_nqs.observables.measure import Orbitals
from tf_nqs.observables.members import MemberSummary, members_table, summary_of
from tf_nqs.observables.members_plot import plot_members
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.runtime.signals import Terminated
from tf_nqs.storage.files import folder_errors, one_at_a_time
from tf_nqs.storage.weights_file import iterations_of_run
from tf_nqs.training import VariationalMonteCarlo

logger = logging.getLogger(__name__)


class MembersObserver:
    """Measures one member after the other; those with the same number of particles by one compiled trainer.

    Args:
        request: the members.
    """

    def __init__(self, request: MembersRequest):
        self._n_iterations = iterations_of_run(request.folder)
        some = _settings(request.requests[0])

        def override(member: Settings) -> Settings:
            return member.model_copy(update={"run": some.run, "evaluation": some.evaluation})

        self.workers = workers_of([_settings(one) for one in request.requests], request.requests[0].own)
        with self.workers.scope():
            self._trainers = MemberTrainers(read_run(request.folder), override)
        self._orbitals: dict[int, tuple[VariationalMonteCarlo, Orbitals]] = {}

    def __call__(self, request: Request) -> MemberSummary:
        """Measures a member and writes its files, as `observe_run` does.

        Args:
            request: of the member.

        Raises:
            SettingsError: the folder cannot be written.
            WorkFailedError: no sample is finite.
        """
        settings = _settings(request)
        system, width = settings.system, settings.system.resolved()["interaction_range"]
        with self.workers.scope():
            vmc = self._trainers.at(system.n_particles, system.interaction_strength, width)
        run = OpenedRun(settings, vmc, self._n_iterations, self.workers)
        known = self._orbitals.get(system.n_particles)
        if known is None or known[0] is not vmc:
            with self.workers.scope():
                warm_up_measurement(vmc)
                known = self._orbitals[system.n_particles] = vmc, compiled_orbitals(vmc)
        try:
            found = measure_and_write(request, run, known[1])
        except WorkFailedError as error:
            raise WorkFailedError(f"{request.subject()}: {error}") from error
        say_written(request, run, found)
        return summary_of(system.title(), system.n_particles, found.observed, found.exact)


def observe_members(request: MembersRequest) -> None:
    """Measures the observables of members of a family, writes their files and a picture of all, prints a table.

    Raises:
        SettingsError: the run folder holds no run that can be read, or cannot be written.
        WorkFailedError: no sample of a member is finite.
    """
    observe = MembersObserver(request)
    with observe.workers.messages(_settings(request.requests[0]).run.quiet):
        members = _observed(request, observe)
        if observe.workers.is_chief:
            with folder_errors("run_dir", request.folder.path), one_at_a_time(request.folder.path):
                plot_members(request.picture, members)
        logger.info(members_table(members))
        logger.info(f"written: {request.picture}")
        observe.workers.wait()


def _observed(request: MembersRequest, observe: MembersObserver) -> list[MemberSummary]:
    """Measures all members; an interruption says of how many there are files already."""
    members: list[MemberSummary] = []
    max_seconds = _settings(request.requests[0]).evaluation.evaluation_max_seconds
    try:
        for number, one in enumerate(request.requests, start=1):
            which = f"{one.subject()} ({number} of {len(request.requests)})"
            logger.info(f"measuring the observables of {which} for {max_seconds:g} seconds ...")
            members.append(observe(one))
    except (KeyboardInterrupt, Terminated) as end:
        written = f"{len(members)} of {len(request.requests)} members were measured and have files; there is no picture"
        if members and isinstance(end, Terminated):
            end.advice = written
        elif members:
            end.args = (written,)
        raise
    return members


def _settings(request: Request) -> Settings:
    """The settings of a member, overridden by those of the command line."""
    return settings_of_member(settings_from(request.folder.config, request.overrides), request.member)
