"""What the workers of a run settle, with the others played by a script; real ones are in tests/integration."""

from __future__ import annotations

import logging
import zlib

import pytest
import tensorflow as tf

from tf_nqs.config import SettingsError
from tf_nqs.execution.workers import Workers
from tf_nqs.runtime.strategy import opened_strategy


class Played(Workers):
    """Worker 1 of three, of whom the others have given these numbers."""

    def __init__(self, chief=0.0, last=0.0):
        super().__init__()
        self.number, self.is_chief, self._others = 1, False, (chief, last)

    def _gathered(self, number):
        return [self._others[0], number, self._others[1]]


def refuse():
    raise SettingsError("no")


def test_a_worker_alone_waits_for_nobody():
    workers = Workers(opened_strategy("none"))
    assert workers.is_chief and workers.n_replicas == workers.n_own_replicas == 1
    workers.check_same("anything")
    workers.wait()
    assert workers.prepared(lambda: "folder") == "folder"
    with pytest.raises(SettingsError, match=r"^no$"):
        workers.prepared(refuse)


def test_other_settings_are_refused_on_all():
    same, other = (float(zlib.crc32(text)) for text in (b"seed = 1", b"seed = 2"))
    Played(same, same).check_same("seed = 1")
    for numbers, which in (((other, same), "1, 2"), ((same, other), "2"), ((other, other), "1")):
        with pytest.raises(
            SettingsError, match=rf"worker {which} has other settings, or another version, than worker 0"
        ):
            Played(*numbers).check_same("seed = 1")


def test_nobody_goes_on_if_one_refuses():
    assert Played().prepared(lambda: "folder") == "folder"
    with pytest.raises(SettingsError, match=r"^no$"):
        Played().prepared(refuse)
    with pytest.raises(SettingsError, match=r"worker 0, 2 has refused, and says why"):
        Played(1.0, 1.0).prepared(lambda: "folder")


def test_the_chief_alone_speaks(capsys):
    logger = logging.getLogger("tf_nqs.somewhere")
    for workers, quiet in ((Workers(), False), (Workers(), True), (Played(), False)):
        with workers.messages(quiet):
            logger.info("a message")
            logger.warning("a warning")
    printed = capsys.readouterr()
    assert printed.out == "a message\n" and printed.err == 3 * "a warning\n"


def test_a_strategy_that_comes_too_late_is_refused():
    """TensorFlow runs already in this process, with one device of the CPU."""
    tf.constant(0)
    with pytest.raises(
        SettingsError, match="strategy = mirrored: there is no GPU; must be none, or n_devices must say"
    ):
        opened_strategy("mirrored")
    with pytest.raises(SettingsError, match="n_devices = 64: TensorFlow is running already, with 1 of them"):
        opened_strategy("mirrored", 64)
