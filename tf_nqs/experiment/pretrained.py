"""The network that the package ships."""

from __future__ import annotations

from tf_nqs.experiment.build import Run, read_run
from tf_nqs.storage.pretrained import pretrained_folder
from tf_nqs.storage.run_folder import RunFolder


def pretrained() -> Run:
    """Returns the family that the package ships, trained: 2 to 6 fermions, V_0 = -20 to 20, sigma_0 = 0.25 to 1.

    It is read as `load` reads a run folder: settings and weights, no code. How good it is says `card.md` beside it.

    Example:
        >>> family = tf_nqs.pretrained()
        >>> system, ansatz, _ = family.at(n_particles=3, interaction_strength=1.0, interaction_range=0.5)
        >>> sign, log_abs_psi = ansatz(np.array([[-1.0, 0.0, 1.0]]))
    """
    return read_run(RunFolder.finished(pretrained_folder()))
