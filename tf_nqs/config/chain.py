"""The config of a chain: each stage overrides settings of the previous one and starts from its weights."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tf_nqs.config.distribution import check_own_process
from tf_nqs.config.errors import SettingsError, shown
from tf_nqs.config.family import check_single
from tf_nqs.config.follow import following
from tf_nqs.config.load import leaves_of, read_table, settings_from, to_toml
from tf_nqs.config.settings import Settings, checked

STAGES = "stage"
"""Name of the tables, written [[stage]]."""

_MUST_STAY = ("ansatz", "n_features", "n_layers", "n_determinants", "n_pair_features", "n_pair_layers")
"""Settings that decide the shapes of all weights."""


class Chain(NamedTuple):
    """A whole chain.

    Attributes:
        run_dir: folder of the chain.
        stages: settings of every stage; its run folders are stage_1, stage_2 and so on in `run_dir`.
    """

    run_dir: str
    stages: tuple[Settings, ...]


def is_chain(config: str | Path) -> bool:
    """Returns whether a TOML file or a shipped preset configures a chain: whether it has a [[stage]].

    Args:
        config: a path, or the name of a preset.

    Raises:
        SettingsError: there is no such file, or it is not TOML.
    """
    return STAGES in read_table(config)


def chain_from(config: str | Path, overrides: Mapping[str, Any], run_dir: str) -> Chain:
    """Returns a validated chain.

    The settings of a stage are those outside of all stages, overridden by the tables of all stages up to this one, then
    by `overrides`. Every stage but the first starts from the weights of the previous one, unless its table sets
    `transfer_from`, which may be an earlier stage: "stage_1".

    Args:
        config: path of a TOML file with [[stage]] tables, or name of a shipped preset.
        overrides: setting -> value for all stages; run_dir is for the chain, transfer_from for its first stage.
        run_dir: folder of the chain, if neither config nor overrides set it.

    Raises:
        SettingsError: something cannot be used; one line, with the number of the stage.
    """
    name, table = shown(str(config)), dict(read_table(config))
    tables = table.pop(STAGES, None)
    if not isinstance(tables, list) or not tables or not all(isinstance(one, dict) for one in tables):
        raise SettingsError(f"{STAGES}: must be one table or more in {name}, each written [[{STAGES}]]")
    leaves, overrides = leaves_of(table, name), dict(overrides)
    run_dir = checked("run_dir", {"run_dir": run_dir, **leaves, **overrides}["run_dir"])
    run_dir = str(Path(os.path.expanduser(run_dir)))  # leaves the name of an unknown user, which is refused later
    # Where training starts from is not handed down from stage to stage.
    start = [given.pop("transfer_from") for given in (overrides, leaves) if "transfer_from" in given]
    stages: list[Settings] = []
    for number, stage_table in enumerate(tables, start=1):
        try:
            leaves |= _own_leaves(stage_table, name)
            given = [*(start if number == 1 else []), leaves.pop("transfer_from", None)]
            places = {"run_dir": str(Path(run_dir, f"stage_{number}"))}
            places["transfer_from"] = _source_folder(given[0], number, run_dir)
            settings = settings_from(None, {**following(leaves, overrides), **overrides, **places})
            check_single(settings.family.varied(), "in a stage of a chain")
            check_own_process(settings.distribution, "in a chain, whose stages")
            _check_source(settings, stages)
        except SettingsError as error:
            raise SettingsError(f"stage {number}: {error}") from error
        stages.append(settings)
    return Chain(run_dir, tuple(stages))


def chain_to_toml(chain: Chain) -> str:
    """Returns a chain as TOML, which loads back to equal stages; the folder is left out."""
    blocks = []
    for number, settings in enumerate(chain.stages, start=1):
        earlier = {str(Path(chain.run_dir, f"stage_{one}")): f"stage_{one}" for one in range(1, number)}
        source = settings.transfer.transfer_from
        transfer = settings.transfer.model_copy(update={"transfer_from": earlier.get(source or "", source)})
        places = {"run": settings.run.model_copy(update={"run_dir": None}), "transfer": transfer}
        blocks.append(f"[[{STAGES}]]\n" + to_toml(settings.model_copy(update=places), f"{STAGES}."))
    return "\n".join(blocks)


def _own_leaves(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    leaves = leaves_of(table, name)
    if "run_dir" in leaves:
        raise SettingsError(f"run_dir: given in a stage of {name}, must be given for the whole chain")
    return leaves


def _source_folder(source: Any, number: int, run_dir: str) -> Any:
    """Returns the folder of the named stage; the folder of the previous stage for None; any other value unchanged."""
    if source is None:
        return None if number == 1 else str(Path(run_dir, f"stage_{number - 1}"))
    earlier = isinstance(source, str) and re.fullmatch(r"stage_([1-9]\d*)", source)
    if not earlier:
        return source
    if int(earlier[1]) >= number:
        raise SettingsError(f"transfer_from = {shown(source)}: must be an earlier stage, or a folder")
    return str(Path(run_dir, source))


def _check_source(settings: Settings, earlier: list[Settings]) -> None:
    """Refuses a transfer between stages that would fail only after hours of training."""
    for number, source in enumerate(earlier, start=1):
        if source.run.run_dir != settings.transfer.transfer_from:
            continue
        before, now = (one.ansatz.resolved(one.system) for one in (source, settings))
        for name in _MUST_STAY:
            if before[name] != now[name]:
                raise SettingsError(
                    f"{name} = {now[name]} contradicts the transfer from stage {number}: "
                    f"must be {before[name]}, as it is there"
                )
        if (before["dtype"], now["dtype"]) == ("float64", "float32"):
            raise SettingsError(
                f"dtype = float32 contradicts the transfer from stage {number}: must be float64, as it is there"
            )
