"""The flags of the commands: what each may be, and one parser for all of them."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags as absl_flags
from pydantic.fields import FieldInfo

from tf_nqs.config.errors import ELSE_LISTED, SettingsError, must_be, must_be_given, shown, suggestion
from tf_nqs.config.family import VARIED, several_allowed, values_from_text
from tf_nqs.config.fields import checked_value, field_allowed, flag_forms, from_text
from tf_nqs.config.settings import FIELDS

NOT_OF_THE_RUN: dict[str, Any] = {"quiet": False, "strategy": "none"}
"""Settings of a run that commands on the finished run do not follow -> what counts unless their flag is given."""

DISTRIBUTION = ("strategy", "n_devices", "worker_timeout")
"""Settings of commands that sample, which several devices or machines can do."""


def _text(text: str) -> str:
    if not text:
        raise ValueError("empty")
    return text


class Flag(NamedTuple):
    """A flag of a command.

    Attributes:
        name: of the flag.
        text: what the help says about it.
        allowed: what its value must be, as the end of a sentence that starts with 'must be'.
        section: title of the part of the help that lists it.
        read: returns the value that a text spells; raises ValueError if it spells none. A flag of another form, such
            as a list or a range, is one with a reader of its own.
        takes_none: whether it may be given without a value, as `--name` and `--noname`.
        label: how the help writes it.
        is_setting: whether it is a setting of a run or of a search.
        is_required: whether it must be given.
        is_word: whether it stands for the arguments of the command that are no flags.
    """

    name: str
    text: str
    allowed: str
    section: str = "settings"
    read: Callable[[str], Any] = _text
    takes_none: bool = False
    label: str = ""
    is_setting: bool = False
    is_required: bool = False
    is_word: bool = False


class Given(NamedTuple):
    """What was given on a command line.

    Attributes:
        settings: name -> value of the flags that are settings.
        own: name -> value of the command's own flags.
        words: the arguments that are no flags.
    """

    settings: dict[str, Any]
    own: dict[str, Any]
    words: tuple[str, ...] = ()


def setting_flag(
    name: str,
    field: FieldInfo | None = None,
    section: str = "settings",
    text: str = "",
    default: str = "",
    several: bool = False,
) -> Flag:
    """Returns the flag of a setting.

    Args:
        name: of the setting.
        field: of its section; None for a setting of a run.
        section: title of the part of the help that lists it.
        text: what the help says about it, if not its description.
        default: what the help calls its default, if not the setting's own one.
        several: whether it takes the values of a family too, where the setting has such.
    """
    field = FIELDS[name] if field is None else field
    of_family = several and name in VARIED
    forms, allowed = flag_forms(field), several_allowed(name) if of_family else field_allowed(field)
    notes = [allowed]
    if forms is not None and not isinstance(forms.bare, bool):
        notes.append(f"--{name} alone is {_spelled(forms.bare)}, --no{name} is {_spelled(forms.negated)}")
    text = text or str(field.description)
    if field.is_required() and not default:
        notes.append("required")
    elif default or field.default is not None or "default:" not in text:
        notes.append(f"default: {default or _spelled(field.default)}")
    return Flag(
        name=name,
        text=f"{text} ({'; '.join(notes)})",
        allowed=allowed,
        section=section,
        read=functools.partial(values_from_text, name) if of_family else functools.partial(_read_setting, name, field),
        takes_none=forms is not None,
        label=f"--{name}" if forms is None else f"--[no]{name}",
        is_setting=True,
    )


def _read_setting(name: str, field: FieldInfo, text: str) -> Any:
    return checked_value(name, from_text(field, text), field)


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return shown(value)
    return "none" if value is None else str(value)


def choice_flag(name: str, text: str, values: Sequence[str]) -> Flag:
    """Returns a flag that takes one of some words, of which the first is the default."""
    allowed = " or ".join(part for part in (", ".join(values[:-1]), values[-1]) if part)
    words = {value: value for value in values}
    return Flag(name, f"{text} ({allowed}; default: {values[0]})", allowed, read=words.__getitem__)


def switch_flag(name: str, text: str, section: str = "settings", label: str = "") -> Flag:
    """Returns a flag that is true or false, and true where it is given without a value."""
    spelled = {"true": True, "false": False}
    return Flag(name, text, "true or false", section, lambda text: spelled[text.lower()], True, label)


def parse(flags: Sequence[Flag], argv: Sequence[str]) -> Given:
    """Returns what the arguments give.

    Args:
        flags: those that there are, `help` and `version` among them; where one of these is given, no other is read.
        argv: program name and arguments.

    Raises:
        SettingsError: an unknown or a missing flag, a value that is not allowed, or an unexpected argument.
    """
    known = {flag.name: flag for flag in flags if not flag.is_word}
    words: list[str] = []
    if any(flag.is_word for flag in flags):
        _refuse_separate_values(known, argv)
        words = [argument for argument in argv[1:] if not argument.startswith("-")]
        argv = [argv[0], *(argument for argument in argv[1:] if argument.startswith("-"))]
    texts = _texts(known, argv)
    for name in ("help", "version"):
        if name in texts and (asked := _read(known[name], texts[name])):
            return Given({}, {name: asked})
    values = {name: _read(known[name], text) for name, text in texts.items()}
    for flag in known.values():
        if flag.is_required and flag.name not in values:
            raise must_be_given(flag.name, flag.allowed)
    settings = {name: value for name, value in values.items() if known[name].is_setting}
    own = {name: value for name, value in values.items() if not known[name].is_setting}
    return Given(settings, own, tuple(words))


def _read(flag: Flag, text: str) -> Any:
    try:
        return flag.read(text)
    except SettingsError:
        raise
    except (KeyError, ValueError) as error:
        raise must_be(flag.name, text, flag.allowed) from error


def _refuse_separate_values(known: Mapping[str, Flag], argv: Sequence[str]) -> None:
    """Refuses `--flag value` where `value` would be taken for a word of its own."""
    for before, argument in itertools.pairwise(argv[1:]):
        flag = known.get(before[2:]) if before.startswith("--") else None
        if flag is not None and not flag.takes_none and not argument.startswith("-"):
            raise SettingsError(f"{before} {argument}: must be given as {before}={argument}")


def _texts(known: Mapping[str, Flag], argv: Sequence[str]) -> dict[str, str]:
    """Returns name -> text of the flags that are given, true or false for one without a value."""
    for argument in argv[1:]:  # absl would obey these two even though they are not defined
        name = argument.lstrip("-").partition("=")[0]
        if argument.startswith("-") and name in ("flagfile", "undefok"):
            raise SettingsError(f"--{name}: no such flag{ELSE_LISTED}")
    values = absl_flags.FlagValues()
    for flag in known.values():
        parser: absl_flags.ArgumentParser[str] = absl_flags.ArgumentParser()
        absl_flags.DEFINE_flag(absl_flags.Flag(parser, None, flag.name, None, "", boolean=flag.takes_none), values)
    try:
        leftover = values(["--help" if argument == "-h" else argument for argument in argv])[1:]
    except absl_flags.UnrecognizedFlagError as error:
        closest = suggestion(error.flagname, known, "--")
        raise SettingsError(f"--{error.flagname}: no such flag{closest or ELSE_LISTED}") from error
    except (absl_flags.Error, ValueError) as error:
        raise SettingsError(_with_allowed(str(error), known)) from error
    if leftover:
        raise SettingsError(f"{shown(leftover[0])}: unexpected argument; must be given as --setting=value")
    return {name: text for name in known if (text := values[name].value) is not None}


def _with_allowed(message: str, known: Mapping[str, Flag]) -> str:
    """Returns one line for an error message of absl, with what is allowed if it names a flag."""
    found = re.search(r"--?(?:no)?(\w+)", message)
    expected = f"; must be {known[found[1]].allowed}" if found and found[1] in known else ""
    return " ".join(message.split()) + expected
