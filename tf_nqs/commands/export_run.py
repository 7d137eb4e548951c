"""The work of the command `export`: loads a run and exports it. Loads TensorFlow."""

from __future__ import annotations

import logging

from tf_nqs.commands.member_flags import Member
from tf_nqs.config import SettingsError, to_toml
from tf_nqs.config.errors import RunFolderError, brief, shown
from tf_nqs.experiment import build as builders
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.saved_model import export as saved_model
from tf_nqs.storage.curve_folder import CurveFolder
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.storage.weights_file import iterations_of_weights

logger = logging.getLogger(__name__)


def export_run(
    folder: RunFolder, output: str, overwrite: bool, member: Member | None = None, extrapolate: bool = False
) -> None:
    """Loads a run, exports it and prints how far the exported numbers are from those of the run.

    Args:
        folder: of a finished run.
        output: folder for the export.
        overwrite: whether to replace an export in that folder.
        member: of a family, to export alone; None for all of it, or for the run of a single system.
        extrapolate: of a family, whether the export takes parameters outside of what was trained.

    Raises:
        SettingsError: the run folder holds no run that can be read or exported, or output cannot be used.
        WorkFailedError: the exported numbers are not those of the run.
    """
    run = builders.read_run(folder)
    files = [folder.config, folder.result]
    if member is None and run.settings.is_family:
        files.append(CurveFolder(folder.path).table)
    texts = {file.name: file.read_text(encoding="utf-8") for file in files if file.is_file()}
    if member is not None:
        run = run.at(**member.values)
        texts[folder.config.name] = to_toml(run.settings)
    try:
        deviations = saved_model.export(
            run.ansatz,
            run.system,
            output,
            run.settings.training.laplacian,
            texts,
            overwrite,
            n_iterations=iterations_of_weights(folder.weights),
            extrapolate=extrapolate,
        )
    except SettingsError:
        raise
    except ValueError as error:
        raise RunFolderError(f"run_dir = {shown(str(folder.path))}: cannot be exported ({brief(error)})") from error
    except saved_model.ExportError as error:
        raise WorkFailedError(f"nothing was exported: {error}") from error
    logger.info(f"exported to {output}; reloaded, it gives the run's own numbers up to rounding:")
    for signature, deviation in deviations.items():
        logger.info(f"  {signature:<23} largest deviation {deviation:.1e}")
