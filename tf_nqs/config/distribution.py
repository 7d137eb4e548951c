"""The settings of devices and machines that share the walkers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from tf_nqs import defaults
from tf_nqs.config.errors import SettingsError
from tf_nqs.config.section import Section


class DistributionSettings(Section):
    """How the walkers are spread over devices and machines; changes speed, not results."""

    strategy: Literal["none", "mirrored", "multi_worker"] = Field(
        defaults.STRATEGY,
        description="Where the walkers are: on one device (none), on the GPUs of this machine (mirrored), or on "
        "several machines that TF_CONFIG or SLURM name (multi_worker).",
    )
    n_devices: int | None = Field(
        None,
        ge=1,
        le=64,
        description="mirrored: number of devices; without a GPU, the CPU is divided into that many; default: all GPUs.",
    )
    worker_timeout: float = Field(
        defaults.WORKER_TIMEOUT,
        gt=0,
        le=86400,
        description="multi_worker: maximum number of seconds to wait for another worker; then the run ends with "
        "status 3.",
    )


def check_flags(given: Mapping[str, Any], strategy: str, where: str = "") -> None:
    """Refuses settings that the strategy would ignore. A file may hold them: another strategy may be chosen later.

    Args:
        given: name -> value of the settings that were given by flags.
        strategy: of the run.
        where: starts the message: the stage of a chain.

    Raises:
        SettingsError: one line that names the setting.
    """
    for leaf, needed in (("n_devices", "mirrored"), ("worker_timeout", "multi_worker")):
        if given.get(leaf) is not None and strategy != needed:
            raise SettingsError(
                f"{where}{leaf} = {given[leaf]} contradicts strategy = {strategy}: must be left out, "
                f"or strategy be {needed}"
            )


def check_own_process(distribution: DistributionSettings, where: str) -> None:
    """Refuses several machines for runs that are started by another process, which the others would not know.

    Args:
        distribution: of such a run.
        where: for the message, such as "in a chain, whose stages".

    Raises:
        SettingsError: the run is to use several machines.
    """
    if distribution.strategy == "multi_worker":
        raise SettingsError(
            f"strategy = multi_worker: cannot be used {where} are processes of their own; must be none or mirrored"
        )


def check_divisible(name: str, number: int, n_replicas: int) -> None:
    """Refuses a number of walkers of which replicas cannot have equal parts.

    Args:
        name: of the setting, or a product of settings.
        number: its value.
        n_replicas: devices of all machines together.

    Raises:
        SettingsError: it is not divisible.
    """
    if number % n_replicas:
        below = number - number % n_replicas
        nearest = f"{below} or {below + n_replicas}" if below else str(n_replicas)
        raise SettingsError(
            f"{name} = {number}: must be a multiple of {n_replicas}, the number of replicas, such as {nearest}"
        )
