"""The sequence of cuts: frequency of the basis, cost of a cut, and what the last leaves out."""

import time
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from tf_nqs import defaults
from tf_nqs.exact.arguments import check_finite, check_n_particles, check_positive
from tf_nqs.exact.determinants import count_determinants, count_pairs
from tf_nqs.exact.diagonalisation import ground_state

# Quanta between two cuts of the sequence, and where it starts; the frequency is chosen at a cut
# high enough that the best frequency hardly moves, low enough to take 10 to 150 ms a try.
_CUT_STEP = 4
_FIRST_CUT = 24
_SEARCH_CUT = 36
# Small against any Monte Carlo error a run will reach.
_WANTED_REMAINDER = 5e-5
_LARGEST_MEMORY = 4e9
# Falls below this are the eigensolver's, and so would be their ratios.
_SOLVER_NOISE = 1e-8
# cut^-p has no finite rest for p <= 1, and no trustworthy one close to it.
_LOWEST_POWER = 1.2


def diagonalised_energy(
    n_particles: int,
    interaction_strength: float,
    interaction_range: float,
    *,
    max_seconds: float = defaults.REFERENCE_MAX_SECONDS,
) -> tuple[float, float]:
    """Returns an upper bound of the ground-state energy and what the cut leaves out of it.

    The frequency is chosen at a low cut, then the cut is raised until the remainder is small, or
    the next cut would not fit into the time or the memory.

    Args:
        n_particles: number of fermions A, an integer >= 2.
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho, > 0.
        max_seconds: wall time allowed.

    Returns:
        The energy of the highest cut, and the estimated remainder (infinite if unknown).

    Raises:
        ValueError: if an argument is out of its range.
    """
    deadline = time.monotonic() + check_positive("max_seconds", max_seconds)
    frequency = best_frequency(n_particles, interaction_strength, interaction_range, cut=_SEARCH_CUT, deadline=deadline)
    energies: list[float] = []
    state, cut, predicted = None, _FIRST_CUT, 0.0
    while time.monotonic() + predicted < deadline:
        begin = time.monotonic()
        state = ground_state(
            n_particles,
            interaction_strength,
            interaction_range,
            cut=cut,
            frequency=frequency,
            start=None if state is None else state.amplitudes,
        )
        energies.append(state.energy)
        work, _ = workload(n_particles, cut)
        next_work, next_memory = workload(n_particles, cut + _CUT_STEP)
        if remainder(energies, cut) < _WANTED_REMAINDER or next_memory > _LARGEST_MEMORY:
            break
        # A quarter more, because Lanczos may need another restart.
        predicted = 1.25 * (time.monotonic() - begin) * next_work / work
        cut += _CUT_STEP
    if state is None:
        return np.inf, np.inf
    return state.energy, remainder(energies, state.cut)


def best_frequency(
    n_particles: int,
    interaction_strength: float,
    interaction_range: float,
    *,
    cut: int,
    deadline: float = np.inf,
) -> float:
    """Returns the frequency of the basis with the lowest energy at one cut.

    Args:
        n_particles: number of fermions A, an integer >= 2.
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho.
        cut: largest number of oscillator quanta above the free ground state.
        deadline: no further try after this time of `time.monotonic`.

    Returns:
        Frequency in units of the trap's, to about 10 %.

    Raises:
        ValueError: if an argument is out of its range.
    """
    n_particles = check_n_particles(n_particles)
    strength = check_finite("interaction_strength", interaction_strength)
    width = check_positive("interaction_range", interaction_range)

    def energy(log_frequency: float) -> float:
        if time.monotonic() > deadline:
            return 1e300  # finite, for the parabolas of `minimize_scalar`
        frequency = float(np.exp(log_frequency))
        return ground_state(n_particles, strength, width, cut=cut, frequency=frequency).energy

    # The stiffest intrinsic motion there can be: all particles at the bottom of each other's well.
    curvature = n_particles * abs(strength) / (np.sqrt(2 * np.pi) * width**3)
    step = 0.4
    grid = np.arange(-1.2, 0.5 * np.log1p(curvature) + 2.0 * step, step)
    centre = grid[np.argmin([energy(log_frequency) for log_frequency in grid])]
    if time.monotonic() > deadline:
        return float(np.exp(centre))
    best = minimize_scalar(energy, bounds=(centre - step, centre + step), method="bounded", options={"xatol": 0.1})
    return float(np.exp(best.x))


def remainder(energies: Sequence[float], cut: int) -> float:
    """Returns a careful estimate of how far the energy would still fall, in hbar omega.

    Falls that shrink like cut^-p leave fall * cut / (step (p - 1)), more than a geometric series of
    the same last ratio would. Twice that is returned, for the largest of the last three falls and
    the slower of the last two ratios, at best 1/2: falls come in waves (short waves converge fast,
    long ones slowly), so that the last fall alone can be far too small.

    Args:
        energies: bounds for cuts `_CUT_STEP` apart, ascending cuts.
        cut: the last of these cuts.

    Returns:
        The estimate; infinite if there are fewer than four energies or the falls shrink too slowly.
    """
    if len(energies) < 4:
        return np.inf
    falls = np.maximum(-np.diff(energies[-4:]), 0.1 * _SOLVER_NOISE)
    if falls.max() < _SOLVER_NOISE:
        return 10.0 * _SOLVER_NOISE
    ratio = max(0.5, falls[2] / falls[1], falls[1] / falls[0])
    power = np.log(ratio) / np.log1p(-_CUT_STEP / cut)
    if power < _LOWEST_POWER:
        return np.inf
    return float(2.0 * falls.max() * cut / (_CUT_STEP * (power - 1.0)))


def workload(n_particles: int, cut: int) -> tuple[float, float]:
    """Returns the cost of one cut: multiplications of one product H v, and memory in bytes.

    Args:
        n_particles: number of fermions A, an integer >= 2.
        cut: largest number of oscillator quanta above the free ground state.

    Returns:
        The number of multiplications, and an upper estimate of the memory.
    """
    largest_pair = cut + 2 * n_particles - 3
    n_rests = count_determinants(n_particles - 2, largest_pair)
    n_pairs = np.array([count_pairs(largest_pair - rest) for rest in range(len(n_rests))], float)
    slots = float(n_rests @ n_pairs)
    # Per slot: vectors before and after the pair matrix, signs, indices and their construction.
    # The sparse parts cost about as much as 50 multiplications of a dense matrix per slot.
    return float(n_rests @ n_pairs**2) + 50.0 * slots, 120.0 * slots + 16.0 * n_pairs[0] ** 2
