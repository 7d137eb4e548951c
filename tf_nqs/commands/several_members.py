"""The flags that pick several members of a family's run at once, and the check of what was given."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tf_nqs.commands.curve_flags import read_range
from tf_nqs.commands.finished_run import Request, placed, probe_folder
from tf_nqs.commands.flags import NOT_OF_THE_RUN, Flag, Given
from tf_nqs.commands.member_flags import member_flags, member_of, settings_of_member
from tf_nqs.config import SettingsError
from tf_nqs.config.family import VARIED
from tf_nqs.config.members import members_label
from tf_nqs.config.shape import compiled_shape
from tf_nqs.experiment.memory import check_measurement
from tf_nqs.runtime import startup
from tf_nqs.storage.run_folder import RunFolder

_SPELLED = {
    "n_particles": "or a list such as 2,3,4",
    "interaction_strength": "or a list such as -10,0,10, or low:high:number of points, as -20:20:5",
    "interaction_range": "or a list such as 0.25,0.5,1, or low:high:number of points, as 0.25:1:4",
}


class MembersRequest(NamedTuple):
    """Several members of a family, asked for on the command line.

    Attributes:
        folder: of the family's run.
        requests: one for each member, ascending in what varies.
        picture: file of the picture of all of them.
    """

    folder: RunFolder
    requests: tuple[Request, ...]
    picture: Path


def several_member_flags() -> list[Flag]:
    """Returns the flags that pick one member or several."""
    return [_of_several(flag) if flag.name in VARIED else flag for flag in member_flags()]


def _of_several(flag: Flag) -> Flag:
    allowed = f"{flag.allowed}, {_SPELLED[flag.name]}"
    text = flag.text.replace(f"({flag.allowed}", f"({allowed}")
    return flag._replace(text=text, allowed=allowed, read=functools.partial(_read, flag))


def _read(flag: Flag, text: str) -> Any:
    """Returns what a text spells: a number, or several ascending ones; raises ValueError if it spells neither."""
    is_range = ":" in text and flag.name != "n_particles"
    parts = [repr(value) for value in read_range(text)] if is_range else text.split(",")
    try:
        values = [flag.read(part) for part in parts]
    except SettingsError as error:
        raise ValueError(text) from error  # becomes an error about the whole text
    if len(set(values)) < len(values):
        raise ValueError(text)
    return tuple(sorted(values)) if len(values) > 1 else values[0]


def work_on_members(target: str, of_one: Callable[[Given], None]) -> Callable[[Given], None]:
    """Returns the work of a command on one member, or on several.

    Args:
        target: function of a `MembersRequest`, as for `tf_nqs.runtime.startup.call_late`.
        of_one: the work on a run, or on one member.
    """

    def work(given: Given) -> None:
        if not any(isinstance(given.own.get(name), tuple) for name in VARIED):
            of_one(given)
            return
        request = request_of(given)
        settings = placed(request.folder.settings, request.requests[0].overrides)
        startup.call_with_tensorflow(target, request, shape=compiled_shape(settings))

    return work


def request_of(given: Given) -> MembersRequest:
    """Returns the request, after checks that need no TensorFlow; nothing is written.

    Raises:
        SettingsError: a member is none of the family, does not fit into memory, or has files that cannot be written.
    """
    folder = RunFolder.finished(given.own["run_dir"])
    asked = {name: _several(given.own[name]) for name in VARIED if name in given.own}
    varying = [name for name in VARIED[1:] if len(asked.get(name, ())) > 1]
    if len(varying) > 1:
        raise SettingsError(f"{' and '.join(varying)}: only one of them may vary in a picture; the other is one number")
    overrides, requests, systems = NOT_OF_THE_RUN | given.settings, [], []
    for values in itertools.product(*asked.values()):
        own = given.own | dict(zip(asked, values, strict=True))
        member = member_of(folder, given._replace(own=own))
        if member is None:  # refused by member_of, as flags of a member were given
            raise SettingsError(f"{folder}: is the run of a single system")
        settings = settings_of_member(placed(folder.settings, overrides), member)
        check_measurement(settings)
        own_files = folder.of_member(member.label)
        probe_folder(own_files, own_files.observable_plots)
        requests.append(Request(own_files, overrides, own, member))
        systems.append(settings.system)
    _ = folder.result_values  # refused if it cannot be used
    name = f"observables_{members_label(systems)}.{given.own.get('format', 'png')}"
    return MembersRequest(folder, tuple(requests), folder.path / name)


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
