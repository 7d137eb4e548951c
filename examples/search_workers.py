"""A search by keras-tuner's chief and two workers on one machine; the chief needs hardly any computing time.

    python examples/search_workers.py 2 --config=configs/tune.toml --run_dir=runs/search

On several machines, which must share the folder, start the same command once on each with these variables. The same
command continues a search that was interrupted.
"""

import contextlib
import os
import socket
import subprocess
import sys


def free_port():
    """Returns a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(number, *arguments):
    """Runs the search to its end; returns the exit status of the chief."""
    place = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(free_port())}
    command = [sys.executable, "-m", "tf_nqs.tune", *arguments]
    names = ["chief", *(f"worker{index}" for index in range(1, int(number) + 1))]
    processes = [subprocess.Popen(command, env=os.environ | place | {"KERASTUNER_TUNER_ID": name}) for name in names]
    for process in processes:
        while process.poll() is None:
            with contextlib.suppress(KeyboardInterrupt):  # they get it too, and end by themselves
                process.wait()
    return processes[0].returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
