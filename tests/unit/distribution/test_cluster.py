"""The cluster of a run as the environment describes it, and what is refused; TensorFlow is not needed."""

from __future__ import annotations

import json
import socket

import pytest

from tf_nqs.config import SettingsError
from tf_nqs.runtime.cluster import Cluster, check_port, cluster_from, expanded_hosts, wait_for_workers
from tf_nqs.runtime.exit_status import WorkFailedError

TWO = {"cluster": {"worker": ["a:1000", "b:1000"]}, "task": {"type": "worker", "index": 1}}


def tf_config(**parts):
    return {"TF_CONFIG": json.dumps(TWO | parts)}


def test_workers_of_tf_config():
    cluster = cluster_from(tf_config())
    assert cluster == (("a:1000", "b:1000"), 1, "TF_CONFIG")
    assert not cluster.is_chief and cluster.port == 1000 and cluster.n_here == 1


@pytest.mark.parametrize(("kind", "index", "task"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)])
def test_a_chief_of_tf_config_is_the_first_worker(kind, index, task):
    cluster = {"worker": ["b:1", "[::1]:2"], "chief": ["a:1"]}
    found = cluster_from(tf_config(cluster=cluster, task={"type": kind, "index": index}))
    assert found.workers == ("a:1", "b:1", "[::1]:2")
    assert found.task == task and found.is_chief == (task == 0)


def test_workers_on_one_machine_are_counted():
    assert Cluster(("a:1", "b:1", "a:2", "a:3"), 2, "").n_here == 3


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "strategy = multi_worker: there is no cluster; must be given by TF_CONFIG or started by SLURM's srun"),
        ({"TF_CONFIG": "  "}, "strategy = multi_worker: there is no cluster"),
        ({"SLURM_JOB_ID": "7"}, "strategy = multi_worker: SLURM has started no workers; must be started by srun"),
        ({"TF_CONFIG": "{cluster"}, "TF_CONFIG = '{cluster': is not JSON (Expecting property name"),
        ({"TF_CONFIG": "[1]"}, 'TF_CONFIG: has no cluster; must be {"cluster": {"worker": ["host:port", ...]}'),
        ({"TF_CONFIG": '{"cluster": {}}'}, "TF_CONFIG: has no task; must be"),
        (tf_config(cluster={}), "TF_CONFIG: has no list of workers; must be"),
        (tf_config(cluster={"worker": "a:1000"}), "TF_CONFIG: has no list of workers; must be"),
        (tf_config(cluster={"worker": []}), "TF_CONFIG: has no list of workers; must be"),
        (tf_config(cluster={"worker": ["a"]}), "TF_CONFIG: 'a' is not the address of a worker; must be host:port"),
        (tf_config(cluster={"worker": ["a:70000"]}), "TF_CONFIG: 'a:70000' is not the address of a worker"),
        (tf_config(cluster={"worker": [5]}), "TF_CONFIG: 5 is not the address of a worker"),
        (tf_config(cluster={"worker": ["a:1", "a:1"]}), "TF_CONFIG: names one address twice; must give each worker"),
        (tf_config(cluster={"chief": ["a:1", "b:1"]}), "TF_CONFIG: has 2 chiefs; must have at most one"),
        (
            tf_config(cluster={"worker": ["a:1"], "ps": ["b:1"]}),
            "TF_CONFIG: has tasks of type 'ps'; must have chief and worker alone",
        ),
        (
            tf_config(task={"type": "worker", "index": 2}),
            "TF_CONFIG: this process is worker 2, which is not in the cluster; must be worker 0 to 1",
        ),
        (tf_config(task={"type": "worker", "index": -1}), "TF_CONFIG: this process is worker -1, which is not"),
        (tf_config(task={"type": "chief", "index": 0}), "TF_CONFIG: this process is chief 0, which is not"),
        (tf_config(task={"type": ["worker"], "index": 0}), "TF_CONFIG: this process is ['worker'] 0, which is not"),
        (tf_config(task={"type": "worker", "index": "0"}), 'TF_CONFIG: this process is worker "0", which is not'),
    ],
)
def test_what_is_no_cluster(environment, message):
    with pytest.raises(SettingsError) as refused:
        cluster_from(environment)
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def slurm(**others):
    return {
        "SLURM_JOB_ID": "1203",
        "SLURM_STEP_NODELIST": "n[9-10],login",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
        "SLURM_PROCID": "3",
        "SLURM_NODEID": "1",
    } | others


def test_workers_of_slurm_are_in_its_own_order():
    """TensorFlow's resolver has n10 first, so that task 0, which runs on n9, would be looked for on n10."""
    cluster = cluster_from(slurm())
    assert cluster.workers == ("n9:21300", "n9:21301", "n10:21300", "n10:21301", "login:21300")
    assert cluster.task == 3 and cluster.n_here == 2 and cluster.port == 21301


def test_ports_of_slurm_are_below_those_that_a_system_hands_out():
    ports = [cluster_from(slurm(SLURM_JOB_ID=str(job))).port for job in range(1000)]
    assert 21000 < min(ports) and max(ports) < 32768
    assert len(set(ports)) == 100


def test_tf_config_wins_over_slurm():
    assert cluster_from(slurm() | tf_config()).source == "TF_CONFIG"


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"SLURM_STEP_NODELIST": "n[1"}, "SLURM_STEP_NODELIST = 'n[1': is not a list of machines"),
        ({"SLURM_STEP_NODELIST": "n[1-x]"}, "SLURM_STEP_NODELIST = 'n[1-x]': is not a list of machines"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x"}, "SLURM_STEP_TASKS_PER_NODE = '2(x': is not a list of numbers of tasks"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2"}, "SLURM: names 3 machines, but tasks on 1; must be the same number"),
        ({"SLURM_STEP_TASKS_PER_NODE": ""}, "SLURM_STEP_TASKS_PER_NODE: is not set; must be, as in a job step"),
        ({"SLURM_PROCID": "5"}, "SLURM_PROCID = 5: must be below 5, the number of tasks"),
        ({"SLURM_PROCID": "-1"}, "SLURM_PROCID = '-1': must be a number"),
        ({"SLURM_NODEID": "0"}, "SLURM: numbers its tasks across machines; must be started with --distribution=block"),
    ],
)
def test_what_is_no_job_step(others, message):
    with pytest.raises(SettingsError) as refused:
        cluster_from(slurm(**others))
    assert str(refused.value).startswith(message)


def test_hosts_keep_their_zeros():
    assert expanded_hosts("a,n[08-10,12],m5") == ["a", "n08", "n09", "n10", "n12", "m5"]


def test_a_port_in_use_is_refused():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"TF_CONFIG: port {port} of worker 0 is in use; must be a free one"):
            check_port(Cluster((f"localhost:{port}",), 0, "TF_CONFIG"))
    check_port(Cluster((f"localhost:{port}",), 0, "TF_CONFIG"))


def test_the_chief_waits_for_the_others_and_no_longer_than_allowed():
    with socket.socket() as other, socket.socket() as closed:
        other.bind(("localhost", 0))
        other.listen()
        closed.bind(("localhost", 0))
        there, missing = (f"localhost:{one.getsockname()[1]}" for one in (other, closed))
        wait_for_workers(Cluster(("here:1", there), 0, "TF_CONFIG"), 0.0)
        message = f"{missing} of TF_CONFIG did not start within 0.1 seconds (worker_timeout)"
        with pytest.raises(WorkFailedError) as error:
            wait_for_workers(Cluster(("here:1", there, missing), 0, "TF_CONFIG"), 0.1)
        assert str(error.value) == message
