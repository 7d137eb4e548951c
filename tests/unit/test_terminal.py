"""What is said can always be written, whatever the encoding of the output."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tf_nqs.runtime import terminal

REPOSITORY = Path(__file__).resolve().parents[2]


def stream(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", "2.0 +- 0.1 hbar*omega^2 - in runs/?rger"),
        ("latin-1", "2.0 ± 0.1 hbar*omega² - in runs/ärger"),
        ("utf-8", "2.0 ± 0.1 ħω² \N{MINUS SIGN} in runs/ärger"),
    ],
)
@pytest.mark.parametrize("is_command", [True, False])
def test_characters_that_the_encoding_lacks_are_spelled_out(encoding, expected, is_command, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream(encoding))
    text = "2.0 ± 0.1 ħω² \N{MINUS SIGN} in runs/ärger"
    if is_command:
        terminal.encode_anything()
        print(text, flush=True)  # as a library prints it
    else:
        terminal.say(text)
    sys.stdout.seek(0)
    assert sys.stdout.buffer.getvalue().decode(encoding) == expected + "\n"


def test_half_of_a_character_can_be_said(monkeypatch):
    """The byte of a file name that is no UTF-8, as Python holds it."""
    monkeypatch.setattr(sys, "stdout", stream("utf-8"))
    terminal.say("runs/a\udcff")
    assert sys.stdout.buffer.getvalue() == b"runs/a?\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_stream_is_no_error(name, monkeypatch):
    monkeypatch.setattr(sys, name, None)
    terminal.say("nobody reads this")
    terminal.complain("nor this")
    terminal.encode_anything()
    with getattr(sys, name) as replaced:
        assert not replaced.isatty()
        print("nor this", file=replaced)


def test_a_command_prints_in_ascii(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    code = (
        "import sys; from tf_nqs.runtime.exit_status import exit_status_of; exit_status_of(lambda: print('1 ħω²'), '')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == (b"1 hbar*omega^2\n", b"")


def test_messages_are_printed_by_level_and_the_logger_is_left_as_it_was(capsys):
    logger = logging.getLogger("tf_nqs")
    before = logger.handlers[:], logger.level, logger.propagate
    with terminal.printed_messages(quiet=False):
        logging.getLogger("tf_nqs.some.module").info("100 % done")
        with terminal.printed_messages(quiet=True):
            logging.getLogger("tf_nqs.some.module").info("not this")
            logging.getLogger("tf_nqs.some.module").warning("careful")
        logging.getLogger("tf_nqs.some.module").info("once")
    logging.getLogger("tf_nqs.some.module").info("nor this")
    assert capsys.readouterr() == ("100 % done\nonce\n", "careful\n")
    assert (logger.handlers[:], logger.level, logger.propagate) == before
