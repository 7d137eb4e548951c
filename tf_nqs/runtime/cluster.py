"""The cluster of a run on several machines, as TensorFlow's TF_CONFIG or SLURM's variables describe it.

Read and checked without TensorFlow, so that a mistake is answered at once and on every worker.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from tf_nqs.config import SettingsError
from tf_nqs.config.errors import shown
from tf_nqs.runtime.exit_status import WorkFailedError

TF_CONFIG_ALLOWED = 'must be {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
"""What TF_CONFIG must be, as the end of a message."""

FIRST_PORT = 21000
"""Port of the first worker on each machine of a SLURM job, before the number of the job is added."""

_PORTS, _PORTS_PER_JOB = 10_000, 100
"""Range of the ports of SLURM jobs, and how many each has: a hundred jobs in a row can share a machine."""

_SECONDS_BETWEEN_LOOKS, _SECONDS_TO_CONNECT = 0.2, 5.0

_ADDRESS = re.compile(r"[^\s:/]+:([1-9]\d{0,4})|\[[0-9a-fA-F:]+\]:([1-9]\d{0,4})")


_joined: list[Cluster] = []
"""The cluster of this process, once it has joined; there can be only one."""


class Cluster(NamedTuple):
    """The workers of a run, and which of them this process is.

    Attributes:
        workers: host:port of each, the chief first.
        task: place of this process in it.
        source: what says so, for messages: TF_CONFIG or SLURM.
    """

    workers: tuple[str, ...]
    task: int
    source: str

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.task == 0

    @property
    def n_here(self) -> int:
        """Number of workers on the machine of this process."""
        hosts = [worker.rpartition(":")[0] for worker in self.workers]
        return hosts.count(hosts[self.task])

    @property
    def port(self) -> int:
        """Port that this process listens on."""
        return int(self.workers[self.task].rpartition(":")[2])


def own_cluster() -> Cluster:
    """Returns the cluster that the environment of this process describes, and whose port here is free.

    Raises:
        SettingsError: there is none, or it cannot be used.
    """
    cluster = cluster_from(os.environ)
    check_port(cluster)
    return cluster


def cluster_from(environment: Mapping[str, str]) -> Cluster:
    """Returns the cluster that the environment describes: TF_CONFIG, else the variables of a SLURM job step.

    Args:
        environment: variable -> value.

    Raises:
        SettingsError: there is neither, or it cannot be used; one line.
    """
    if environment.get("TF_CONFIG", "").strip():
        return _from_tf_config(environment["TF_CONFIG"])
    if "SLURM_STEP_NODELIST" in environment:
        return _from_slurm(environment)
    if "SLURM_JOB_ID" in environment:
        raise SettingsError("strategy = multi_worker: SLURM has started no workers; must be started by srun")
    raise SettingsError(
        "strategy = multi_worker: there is no cluster; must be given by TF_CONFIG or started by SLURM's srun, "
        "or strategy must be none or mirrored"
    )


def check_port(cluster: Cluster) -> None:
    """Refuses a cluster whose port on this machine another program listens on.

    Raises:
        SettingsError: it is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that is only closing counts as free
        try:
            probe.bind(("", cluster.port))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise SettingsError(
                f"{cluster.source}: port {cluster.port} of worker {cluster.task} {why}; must be a free one"
            ) from error


def wait_for_workers(cluster: Cluster, timeout: float) -> None:
    """Returns when all other workers listen; for the chief, whom TensorFlow would let wait for an hour.

    Args:
        cluster: of this process.
        timeout: maximum number of seconds.

    Raises:
        WorkFailedError: one does not; one line with all that do not.
    """
    missing = [worker for place, worker in enumerate(cluster.workers) if place != cluster.task]
    end = time.monotonic() + timeout
    while missing := [worker for worker in missing if not _listens(worker)]:
        if time.monotonic() > end:
            raise WorkFailedError(
                f"{', '.join(missing)} of {cluster.source} did not start within {timeout:g} seconds (worker_timeout)"
            )
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def note_joined(cluster: Cluster) -> None:
    """Notes that this process has joined a cluster, so that others may wait for it."""
    _joined.append(cluster)


def has_joined() -> bool:
    """Returns whether this process has joined a cluster."""
    return bool(_joined)


def _listens(worker: str) -> bool:
    host, _, port = worker.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_CONNECT):
            return True
    except OSError:  # not yet, or its name is not known yet
        return False


def _from_tf_config(text: str) -> Cluster:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"TF_CONFIG = {shown(text)}: is not JSON ({error}); {TF_CONFIG_ALLOWED}") from error
    jobs, own = _part(content, "cluster"), _part(content, "task")
    for job in jobs:
        if job not in ("chief", "worker"):
            raise SettingsError(f"TF_CONFIG: has tasks of type {shown(job)}; must have chief and worker alone")
    chiefs, workers = (_addresses(jobs.get(job, [])) for job in ("chief", "worker"))
    if not workers and not chiefs:
        raise SettingsError(f"TF_CONFIG: has no list of workers; {TF_CONFIG_ALLOWED}")
    if len(chiefs) > 1:
        raise SettingsError(f"TF_CONFIG: has {len(chiefs)} chiefs; must have at most one")
    both = (*chiefs, *workers)
    if len(set(both)) < len(both):
        raise SettingsError("TF_CONFIG: names one address twice; must give each worker its own host:port")
    kind, index = own.get("type"), own.get("index")
    places = {"chief": range(len(chiefs)), "worker": range(len(chiefs), len(both))}.get(str(kind), range(0))
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(places):
        known = " or ".join(
            f"{job} 0" if len(some) == 1 else f"{job} 0 to {len(some) - 1}"
            for job, some in (("chief", chiefs), ("worker", workers))
            if some
        )
        raise SettingsError(
            f"TF_CONFIG: this process is {kind} {json.dumps(index)}, which is not in the cluster; must be {known}"
        )
    return Cluster(both, places[index], "TF_CONFIG")


def _part(content: Any, name: str) -> dict[str, Any]:
    part = content.get(name) if isinstance(content, dict) else None
    if not isinstance(part, dict):
        raise SettingsError(f"TF_CONFIG: has no {name}; {TF_CONFIG_ALLOWED}")
    return part


def _addresses(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise SettingsError(f"TF_CONFIG: has no list of workers; {TF_CONFIG_ALLOWED}")
    for address in given:
        found = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if found is None or int(found[1] or found[2]) > 65535:
            raise SettingsError(f"TF_CONFIG: {shown(address)} is not the address of a worker; must be host:port")
    return tuple(given)


def _from_slurm(environment: Mapping[str, str]) -> Cluster:
    """Returns the cluster of a job step, whose tasks SLURM numbers machine by machine.

    TensorFlow's `SlurmClusterResolver` sorts the machines by name, so that n10 comes before n9, which SLURM does not;
    without a GPU it fails. So the variables are read here.
    """
    hosts = expanded_hosts(environment["SLURM_STEP_NODELIST"])
    counts = _expanded_counts(_variable(environment, "SLURM_STEP_TASKS_PER_NODE"))
    if len(hosts) != len(counts):
        raise SettingsError(
            f"SLURM: names {len(hosts)} machines, but tasks on {len(counts)}; must be the same number, "
            "as in a job step of srun"
        )
    first = FIRST_PORT + _number(environment, "SLURM_JOB_ID") * _PORTS_PER_JOB % _PORTS
    workers = [f"{host}:{first + place}" for host, n in zip(hosts, counts, strict=True) for place in range(n)]
    task, node = _number(environment, "SLURM_PROCID"), _number(environment, "SLURM_NODEID")
    if task >= len(workers):
        raise SettingsError(f"SLURM_PROCID = {task}: must be below {len(workers)}, the number of tasks")
    if not sum(counts[:node]) <= task < sum(counts[: node + 1]):
        raise SettingsError("SLURM: numbers its tasks across machines; must be started with --distribution=block")
    return Cluster(tuple(workers), task, "SLURM")


def _variable(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise SettingsError(f"{name}: is not set; must be, as in a job step of srun")
    return environment[name]


def _number(environment: Mapping[str, str], name: str) -> int:
    text = _variable(environment, name)
    if not (text.isascii() and text.isdecimal()):
        raise SettingsError(f"{name} = {shown(text)}: must be a number, as in a job step of srun")
    return int(text)


def expanded_hosts(hosts: str) -> list[str]:
    """Returns the names of a list of SLURM: 'n[1-2],m5,o[08-10]' is n1, n2, m5, o08, o09, o10.

    Raises:
        SettingsError: it is none.
    """
    wrong = SettingsError(f"SLURM_STEP_NODELIST = {shown(hosts)}: is not a list of machines")
    parts = re.findall(r"([^,\[\]]+)(?:\[([^\[\]]+)\])?(?:,|$)", hosts)
    if ",".join(f"{prefix}[{ranges}]" if ranges else prefix for prefix, ranges in parts) != hosts or not hosts:
        raise wrong
    found = []
    for prefix, ranges in parts:
        for one in ranges.split(",") if ranges else ():
            ends = re.fullmatch(r"(\d+)(?:-(\d+))?", one)
            if ends is None:
                raise wrong
            low, high = ends[1], ends[2] or ends[1]
            found += [f"{prefix}{number:0{len(low)}}" for number in range(int(low), int(high) + 1)]
        found += [] if ranges else [prefix]
    return found


def _expanded_counts(counts: str) -> list[int]:
    """Returns the numbers of tasks of a list of SLURM: '2(x3),1' is 2, 2, 2, 1."""
    found = []
    for part in counts.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise SettingsError(f"SLURM_STEP_TASKS_PER_NODE = {shown(counts)}: is not a list of numbers of tasks")
        found += [int(match[1])] * int(match[2] or 1)
    return found
