"""One-body observables of a diagonalised ground state."""

from math import pi

import numpy as np
from numpy.polynomial import hermite
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from tf_nqs.exact.diagonalisation import GroundState
from tf_nqs.exact.free_fermions import oscillator_orbitals

_N_NODES = 40


def one_body_density_matrix(state: GroundState) -> NDArray[np.float64]:
    """Returns gamma_(mn) = <c_m^+ c_n> in the trap's orbitals; its trace is A.

    Its eigenvalues are the natural occupations.

    Args:
        state: a ground state of frequency 1.

    Returns:
        Symmetric array of shape (n_orbitals, n_orbitals).

    Raises:
        ValueError: if the basis has another frequency than the trap, because the centre of mass
            is then not in the ground state of the trap.
    """
    if state.frequency != 1.0:
        raise ValueError(
            f"state.frequency = {state.frequency:g}: must be 1, as `ground_state` gives it; with another frequency "
            "the centre of mass is not that of the trap"
        )
    return _density_matrix_in_basis(state)


def density(state: GroundState, x: ArrayLike) -> NDArray[np.float64]:
    """Returns the one-body density in the trap, which integrates to A.

    A basis of higher frequency makes the distribution of the centre of mass too narrow: a convolution
    of variance (1 - 1 / frequency) / (2 A) corrects it.

    Args:
        state: a ground state of frequency >= 1.
        x: positions in units of a_ho, any shape.

    Returns:
        Array of the shape of `x`, in units of 1 / a_ho.

    Raises:
        ValueError: if the frequency is below 1.
    """
    if state.frequency < 1.0:
        raise ValueError(f"state.frequency = {state.frequency:g}: must be at least 1")
    x = np.asarray(x, dtype=np.float64)
    gamma = _density_matrix_in_basis(state)
    variance = (1.0 - 1.0 / state.frequency) / (2.0 * state.occupations.shape[1])
    nodes, weights = hermite.hermgauss(_N_NODES) if variance > 0 else (np.zeros(1), [pi**0.5])
    total = np.zeros(x.shape)
    for node, weight in zip(nodes, weights, strict=True):
        place = (x - np.sqrt(2.0 * variance) * node) * np.sqrt(state.frequency)
        orbitals = oscillator_orbitals(len(gamma), place)
        local = np.sum(orbitals * np.tensordot(gamma, orbitals, axes=1), axis=0)
        total += weight * np.sqrt(state.frequency / pi) * local
    return total


def _density_matrix_in_basis(state: GroundState) -> NDArray[np.float64]:
    """Returns <c_m^+ c_n> in the orbitals of the state's own basis."""
    occupations = state.occupations
    n_states, n_particles = occupations.shape
    n_orbitals = int(occupations.max()) + 1
    keys = np.zeros((n_states, n_particles), dtype=np.int64)
    for place in range(n_particles):
        for orbital in np.delete(occupations, place, axis=1).T:
            keys[:, place] = keys[:, place] * n_orbitals + orbital
    rests, rest_index = np.unique(keys, return_inverse=True)
    signed = state.amplitudes[:, None] * (-1.0) ** np.arange(n_particles)
    entries = (signed.ravel(), (rest_index.ravel(), occupations.ravel()))
    removed = csr_matrix(entries, shape=(len(rests), n_orbitals))
    return (removed.T @ removed).toarray()
