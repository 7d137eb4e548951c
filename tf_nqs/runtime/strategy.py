"""Opens a strategy of `tf.distribute` by its name, and lets the workers of a run agree before anything is written.

TensorFlow does all the communication. Loads TensorFlow.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

from tf_nqs import defaults
from tf_nqs.config import SettingsError
from tf_nqs.config.distribution import DistributionSettings
from tf_nqs.runtime.cluster import Cluster, note_joined, own_cluster, wait_for_workers
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.runtime.signals import REASONS
from tf_nqs.runtime.terminal import printed_messages

T = TypeVar("T")


def opened_strategy(
    name: str, n_devices: int | None = None, worker_timeout: float = defaults.WORKER_TIMEOUT
) -> tf.distribute.Strategy | None:
    """Returns a new strategy; `with strategy.scope():` around ansatz and trainer spreads the walkers.

    Must be called before TensorFlow computes anything: only then can it divide the CPU, or join other workers.

    Args:
        name: none, mirrored or multi_worker.
        n_devices: of mirrored; None for all GPUs. Without a GPU, the CPU is divided into as many devices.
        worker_timeout: of multi_worker, the longest wait for another worker in seconds. A process that waits longer
            for the others to start ends with status 3.

    Returns:
        The strategy; None for none.

    Raises:
        SettingsError: there are no such devices, or the environment describes no cluster that can be used.
    """
    if name == "mirrored":
        return _mirrored(n_devices)
    return _multi_worker(own_cluster(), worker_timeout) if name == "multi_worker" else None


def _mirrored(n_devices: int | None) -> tf.distribute.Strategy:
    """Returns the strategy for the GPUs of this machine, or for parts of its CPU."""
    if not tf.config.list_physical_devices("GPU"):
        if n_devices is None:
            raise SettingsError(
                "strategy = mirrored: there is no GPU; must be none, or n_devices must say into how many devices the "
                "CPU is divided"
            )
        return tf.distribute.MirroredStrategy(_parts_of_cpu(n_devices))
    names = [device.name for device in tf.config.list_logical_devices("GPU")]
    if n_devices is not None and n_devices > len(names):
        raise SettingsError(f"n_devices = {n_devices}: must be at most {len(names)}, the number of GPUs")
    return tf.distribute.MirroredStrategy(names[:n_devices])


def _parts_of_cpu(n_devices: int) -> list[str]:
    """Returns the names of as many logical devices of the CPU."""
    with contextlib.suppress(RuntimeError):  # TensorFlow is running already, perhaps with enough of them
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * n_devices)
    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    if len(names) < n_devices:
        raise SettingsError(
            f"n_devices = {n_devices}: TensorFlow is running already, with {len(names)} devices of the CPU; "
            "must be at most that, or the strategy be opened first"
        )
    return names[:n_devices]


def _multi_worker(cluster: Cluster, timeout: float) -> tf.distribute.Strategy:
    """Returns the strategy of this worker, once all of them have started."""
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.workers)}),
        task_type="worker",
        task_id=cluster.task,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=timeout)
    note_joined(cluster)
    try:
        if cluster.is_chief:
            wait_for_workers(cluster, timeout)
        _bound_start(len(cluster.workers), timeout)
        with _signals_kept():
            return tf.distribute.MultiWorkerMirroredStrategy(resolver, options)
    except RuntimeError as error:
        raise SettingsError(
            "strategy = multi_worker: TensorFlow is running already; the strategy must be opened first"
        ) from error
    except tf.errors.UnknownError as error:  # of the server
        raise SettingsError(
            f"{cluster.source}: worker {cluster.task} cannot listen on port {cluster.port}; must be a free one"
        ) from error
    except tf.errors.OpError as error:
        raise WorkFailedError(
            f"{cluster.workers[0]} of {cluster.source} did not start within {timeout:g} seconds (worker_timeout)"
        ) from error


def _bound_start(n_workers: int, timeout: float) -> None:
    """Lets TensorFlow wait for the chief to start no longer than this, instead of an hour.

    The public interface has no such setting; where TensorFlow's own configuration is set, the strategy leaves it.
    """
    own, job = context.context(), coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=n_workers)
    if own.coordination_service is None:
        own.configure_coordination_service(
            service_type="standalone",
            service_leader="/job:worker/replica:0/task:0",
            cluster_register_timeout_in_ms=int(1000 * timeout),
            coordinated_jobs=[job],
        )


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Lets Ctrl-C end the process inside the `with` block, and gives signals back their handlers after it.

    The block waits inside of TensorFlow, where Python handles no signal; and TensorFlow takes SIGTERM for itself.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: handler for number in REASONS if (handler := signal.getsignal(number)) is not None}
        if before.get(signal.SIGINT) not in (signal.SIG_IGN, None):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def joined(distribution: DistributionSettings) -> Workers:
    """Opens the strategy that the settings name, and returns the workers of the run; raises as `opened_strategy`."""
    return Workers(opened_strategy(distribution.strategy, distribution.n_devices, distribution.worker_timeout))


class Workers:
    """The processes that share a run, seen from one of them; most often it is alone.

    All call the same methods in the same order: each method waits for the others.

    Args:
        strategy: of the run; None for one device.

    Attributes:
        strategy: of the run.
        n_replicas: number of devices of all processes together.
        n_own_replicas: number of devices of this process.
        number: of this process; 0 is the chief, which alone writes and prints.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy
        self.n_replicas = strategy.num_replicas_in_sync if strategy else 1
        resolver = strategy.cluster_resolver if strategy else None
        self.number: int = resolver.task_id if resolver else 0
        self._n_workers = len(resolver.cluster_spec().as_dict()["worker"]) if resolver else 1
        self.n_own_replicas = self.n_replicas // self._n_workers

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.number == 0

    def scope(self) -> AbstractContextManager[Any]:
        """Returns the scope of the strategy, for what is built, trained and measured, not for what is written."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def messages(self, quiet: bool) -> AbstractContextManager[None]:
        """Returns a context in which the chief alone prints messages, unless it is quiet; all print errors."""
        return printed_messages(quiet or not self.is_chief)

    def wait(self) -> None:
        """Returns when all workers have come here."""
        self._gathered(0.0)

    def check_same(self, what: str) -> None:
        """Refuses workers that were given different settings, on all of them.

        Args:
            what: all that must be the same, as text.

        Raises:
            SettingsError: some worker has another text than the chief.
        """
        sums = self._gathered(zlib.crc32(what.encode()))
        if others := [str(worker) for worker, one in enumerate(sums) if one != sums[0]]:
            raise SettingsError(
                f"strategy = multi_worker: worker {', '.join(others)} has other settings, or another version, than "
                "worker 0; all must be started by the same command"
            )

    def prepared(self, prepare: Callable[[], T]) -> T:
        """Returns what this worker has prepared, once all have; none goes on if one refuses.

        Args:
            prepare: raises a SettingsError to refuse.

        Raises:
            SettingsError: this worker has refused, or another one.
        """
        refusal: SettingsError | None = None
        results = []
        try:
            results.append(prepare())
        except SettingsError as error:
            refusal = error
        refused = [str(worker) for worker, one in enumerate(self._gathered(float(refusal is not None))) if one]
        if refusal is not None:
            raise refusal
        if refused:
            raise SettingsError(f"strategy = multi_worker: worker {', '.join(refused)} has refused, and says why")
        return results[0]

    def _gathered(self, number: float) -> list[float]:
        """Returns the numbers of all workers, which are exact in float64."""
        if self.strategy is None or self._n_workers == 1:
            return [number]
        found = _of_all_replicas(self.strategy, number)
        return found[:: len(found) // self._n_workers]


def _of_all_replicas(strategy: tf.distribute.Strategy, number: float) -> list[float]:
    """Returns what each replica has been given by its process."""

    def of_replica(own: tf.Tensor) -> tf.Tensor:
        replica = tf.distribute.get_replica_context()
        place = tf.one_hot(replica.replica_id_in_sync_group, strategy.num_replicas_in_sync, dtype=tf.float64)
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, place * own)

    @tf.function(autograph=False)
    def of_process(own: tf.Tensor) -> tf.Tensor:
        return strategy.experimental_local_results(strategy.run(of_replica, args=(own,)))[0]

    return [float(one) for one in of_process(tf.constant(number, tf.float64)).numpy()]
