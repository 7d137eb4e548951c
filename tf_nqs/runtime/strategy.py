"""Opens a strategy of `tf.distribute` by its name. Loads TensorFlow."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

from tf_nqs import defaults
from tf_nqs.config import SettingsError
from tf_nqs.runtime.cluster import Cluster, note_joined, own_cluster, wait_for_workers
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.runtime.signals import REASONS

_DEVICES = "tf_nqs/devices"
"""Name under which workers tell each other how many devices they have."""


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
            f"n_devices = {n_devices}: TensorFlow is running already, with {len(names)} of them; "
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
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver, options)
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
    _check_numbers_of_devices(cluster, len(strategy.extended.worker_devices), timeout)
    return strategy


def _check_numbers_of_devices(cluster: Cluster, own: int, timeout: float) -> None:
    """Refuses workers with different numbers of devices, on all of them.

    TensorFlow takes all workers to have as many as the own one, and sums over others would have no end. So they are
    not asked by a sum, but by the service that TensorFlow starts the workers with, which has no public interface.

    Args:
        cluster: of this process, which has joined it.
        own: number of devices of this process.
        timeout: longest wait for another worker, in seconds.

    Raises:
        SettingsError: some worker has another number.
    """
    service, milliseconds = context.context(), int(1000 * timeout)
    with _signals_kept():
        service.set_config_key_value(f"{_DEVICES}/{cluster.task}", str(own))
        names = [f"{_DEVICES}/{worker}" for worker in range(len(cluster.workers))]
        numbers = [service.get_config_key_value(name, milliseconds) for name in names]
        if len(set(numbers)) == 1:
            return
        with contextlib.suppress(tf.errors.OpError):  # the first one to leave ends the service
            service.wait_at_barrier(_DEVICES, milliseconds)
    raise SettingsError(
        f"strategy = multi_worker: the workers have {', '.join(numbers)} devices; all must have the same number "
        "(CUDA_VISIBLE_DEVICES hides some)"
    )


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
