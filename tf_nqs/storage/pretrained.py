"""Where the network is that the package ships: a run folder inside the package, with settings and weights alone."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from tf_nqs.config.errors import shown
from tf_nqs.config.transfer import PRETRAINED
from tf_nqs.storage.run_folder import RunFolder

CARD_FILE = "card.md"


def pretrained_folder() -> Path:
    """Returns the folder of the shipped network."""
    return Path(str(importlib.resources.files("tf_nqs") / PRETRAINED))


def transfer_folder(source: str | Path) -> RunFolder:
    """Returns the folder that the setting transfer_from names; it may hold no run.

    Args:
        source: the folder of a run, or "pretrained" for the shipped network; ./pretrained is a folder of that name.
    """
    if str(source) != PRETRAINED:
        return RunFolder(source, "transfer_from")
    folder = RunFolder(pretrained_folder(), "transfer_from")
    folder.name = f"transfer_from = {shown(PRETRAINED)}"
    return folder


def finished_source(source: str | Path) -> RunFolder:
    """Returns the same folder, which holds a finished run.

    Raises:
        RunFolderError: it does not.
    """
    if str(source) != PRETRAINED:
        return RunFolder.finished(source, "transfer_from")
    RunFolder.finished(pretrained_folder(), "transfer_from")
    return transfer_folder(source)
