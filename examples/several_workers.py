"""Several workers on one machine: one run, whose walkers are spread over two processes.

    python examples/several_workers.py 2 train.py --config=quickstart --run_dir=runs/shared
    python examples/several_workers.py 2 -m tf_nqs.evaluate --run_dir=runs/shared

On several machines start the same command once on each, with TF_CONFIG as here; `index` differs from worker to worker.
Worker 0 prints and writes. Ctrl-C reaches all of them.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys


def free_ports(number):
    """Returns as many ports that nothing listens on."""
    with contextlib.ExitStack() as until_all_are_found:
        probes = [until_all_are_found.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("localhost", 0))
        return [probe.getsockname()[1] for probe in probes]


def place_of(index, addresses):
    """Returns what TF_CONFIG must be for one of the workers at some addresses."""
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})


def main(number, *arguments):
    """Runs Python with the same arguments once for each worker; returns the first exit status that is not 0."""
    addresses = [f"localhost:{port}" for port in free_ports(int(number))]
    command = [sys.executable, *arguments, "--strategy=multi_worker"]
    workers = [
        subprocess.Popen(command, env=os.environ | {"TF_CONFIG": place_of(index, addresses)})
        for index in range(len(addresses))
    ]
    statuses = []
    for worker in workers:
        while worker.poll() is None:
            with contextlib.suppress(KeyboardInterrupt):  # the workers get it too, and end by themselves
                worker.wait()
        statuses.append(worker.returncode)
    return next((status for status in statuses if status), 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
