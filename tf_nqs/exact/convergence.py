"""The sequence of energy cuts: frequency of the basis, cost of a cut, and the remainder of the last one."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from tf_nqs import defaults
from tf_nqs.exact.determinants import count_determinants, count_pairs
from tf_nqs.exact.diagonalisation import ground_state
from tf_nqs.exact.relative_coordinate import two_particle_energy
from tf_nqs.exact.two_body import relative_hamiltonian
from tf_nqs.whole_numbers import finite_number, whole_number

# Quanta between two cuts of the sequence, and where it starts; the frequency is chosen at a cut
# high enough that the best frequency hardly moves, low enough to take 10 to 150 ms a try.
_CUT_STEP = 4
_FIRST_CUT = 24
_SEARCH_CUT = 36
# Small compared with any Monte Carlo error of a run.
_WANTED_REMAINDER = 5e-5
# Allowed remainder of a pair in a second sequence: a tenth of the above, enough for ten pairs.
_WANTED_OF_PAIR = 2e-6
_LARGEST_MEMORY = 4e9
_SECONDS_BETWEEN_REPORTS = 3.0
# Smaller falls, and their ratios, are errors of the eigensolver.
_SOLVER_NOISE = 1e-8
# cut^-p has no finite remainder for p <= 1, and an unreliable one close to it.
_LOWEST_POWER = 1.2


class Bound(NamedTuple):
    """An upper bound of a ground-state energy, in hbar omega.

    Attributes:
        energy: the bound; infinite if there was no time for one.
        uncertainty: maximum distance of the energy below the bound; infinite if unknown.
        cut: energy cut of the basis.
        is_stalled: whether the pair estimates a larger remainder than the falls of the energy do.
    """

    energy: float
    uncertainty: float
    cut: int
    is_stalled: bool


def diagonalised_energy(
    n_particles: int,
    interaction_strength: float,
    interaction_range: float,
    *,
    max_seconds: float = defaults.REFERENCE_MAX_SECONDS,
    report: Callable[[str], None] | None = None,
) -> tuple[float, float]:
    """Returns an upper bound of the ground-state energy and its estimated distance from the true energy.

    The frequency is chosen at a low cut. Then the cut is raised until the remainder is small, or
    until the next cut would exceed the time or the memory. A narrow repulsion needs a higher
    frequency at a high cut: if the energy stalls, a second sequence uses the best frequency of two
    particles at a sufficient cut.

    Args:
        n_particles: number of fermions A, an integer >= 2.
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho, > 0.
        max_seconds: maximum wall time.
        report: called every few seconds with a line of progress.

    Returns:
        The energy of the highest cut, and the estimated remainder (infinite if unknown).

    Raises:
        ValueError: if an argument is out of its range.
    """
    deadline = time.monotonic() + finite_number("max_seconds", max_seconds, 0)
    frequency = best_frequency(n_particles, interaction_strength, interaction_range, cut=_SEARCH_CUT, deadline=deadline)
    system = (n_particles, interaction_strength, interaction_range)
    bound = _raise_cut(system, frequency, _FIRST_CUT, deadline, report, may_stall=True)
    if bound.is_stalled:
        frequency = pair_frequency(*system[1:], bound.cut)
        second = _raise_cut(system, frequency, bound.cut - 2 * _CUT_STEP, deadline, report, may_stall=False)
        bound = min(bound, second, key=lambda one: one.uncertainty)
    return bound.energy, bound.uncertainty


def _raise_cut(
    system: tuple[int, float, float],
    frequency: float,
    cut: int,
    deadline: float,
    report: Callable[[str], None] | None,
    may_stall: bool,
) -> Bound:
    """Returns the bound of the highest necessary cut within time and memory; ends early if the energy stalls."""
    energies: list[float] = []
    pairs: list[float] = []
    exact_pair, state, predicted, reported = two_particle_energy(*system[1:])[0], None, 0.0, time.monotonic()
    bound = Bound(energy=np.inf, uncertainty=np.inf, cut=cut, is_stalled=False)
    while (begin := time.monotonic()) + predicted < deadline:
        start = None if state is None else state.amplitudes
        state = ground_state(*system, cut=cut, frequency=frequency, start=start)
        energies.append(state.energy)
        pairs.append(pair_energy(*system[1:], cut, frequency))
        own, from_pair = remainder(energies, cut), pair_remainder(energies, pairs, exact_pair)
        is_stalled = may_stall and from_pair > max(own, _WANTED_REMAINDER)
        # If a second sequence stalls as well, only the falls of the pair are reliable.
        known = 2.0 * from_pair if np.isinf(own) and not may_stall else max(own, from_pair)
        bound = Bound(energy=state.energy, uncertainty=known, cut=cut, is_stalled=is_stalled)
        if report and (now := time.monotonic()) - reported > _SECONDS_BETWEEN_REPORTS:
            unsure = f"uncertainty {bound.uncertainty:.0e}" if np.isfinite(bound.uncertainty) else "not yet converged"
            report(f"diagonalisation, cut {cut}: energy {state.energy:.6f}, {unsure}, {deadline - now:.0f} s left")
            reported = now
        work, _ = workload(system[0], cut)
        next_work, next_memory = workload(system[0], cut + _CUT_STEP)
        if is_stalled or bound.uncertainty < _WANTED_REMAINDER or next_memory > _LARGEST_MEMORY:
            break
        # A quarter more, because Lanczos may need another restart.
        predicted = 1.25 * (time.monotonic() - begin) * next_work / work
        cut += _CUT_STEP
    return bound


def pair_remainder(energies: Sequence[float], pairs: Sequence[float], exact_pair: float) -> float:
    """Returns an estimate of the remaining fall of the energy, from two particles in the same basis.

    For any number of particles, a cut limits the accuracy where two of them are close, so the
    energy falls in proportion to that of a pair, whose exact energy is known. The falls alone can
    mislead: the error of a narrow repulsion oscillates with the cut, so that the energy stalls and
    falls again later.

    Args:
        energies: bounds for ascending cuts, in hbar omega.
        pairs: bounds of two particles with the same interaction, frequencies and cuts.
        exact_pair: exact energy of two particles.

    Returns:
        The estimate; infinite for fewer than four cuts.
    """
    if len(energies) < 4:
        return np.inf
    left = pairs[-1] - exact_pair
    if left < _SOLVER_NOISE:
        return 0.0
    middle = len(energies) // 2
    ratios = [(energies[i] - energies[-1]) / max(pairs[i] - pairs[-1], _SOLVER_NOISE) for i in (0, middle)]
    return float(max(ratios) * left)


def pair_energy(interaction_strength: float, interaction_range: float, cut: int, frequency: float) -> float:
    """Returns the energy of two particles below a cut, equal to `ground_state`, from their relative motion alone.

    Args:
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho.
        cut: largest number of oscillator quanta above the free ground state.
        frequency: frequency of the basis in units of the trap's.
    """
    relative = relative_hamiltonian(cut + 2, 2, interaction_strength, interaction_range, frequency)
    return 0.5 + float(np.linalg.eigvalsh(relative[1::2, 1::2])[0])


def pair_frequency(interaction_strength: float, interaction_range: float, cut: int) -> float:
    """Returns the best frequency of two particles at a sufficient cut.

    Particles share the quanta, so that each pair of many has fewer than the cut: the frequency is
    the best one at three quarters of it.

    Args:
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho.
        cut: lowest cut to try; the highest is four times this cut.

    Returns:
        Frequency in units of the trap's, to 20 %.
    """
    exact, _ = two_particle_energy(interaction_strength, interaction_range)
    frequencies = np.exp(np.arange(0.0, 4.0, 0.2))

    def energies(cut: int) -> list[float]:
        return [pair_energy(interaction_strength, interaction_range, cut, float(one)) for one in frequencies]

    enough = next((one for one in range(cut, 4 * cut, 8) if min(energies(one)) - exact < _WANTED_OF_PAIR), 4 * cut)
    return float(frequencies[np.argmin(energies(2 * (3 * enough // 8)))])


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
        deadline: time of `time.monotonic` after which no further frequency is tried.

    Returns:
        Frequency in units of the trap's, to about 10 %.

    Raises:
        ValueError: if an argument is out of its range.
    """
    n_particles = whole_number("n_particles", n_particles, 1)
    strength = finite_number("interaction_strength", interaction_strength)
    width = finite_number("interaction_range", interaction_range, 0)

    def energy(log_frequency: float) -> float:
        if time.monotonic() > deadline:
            return 1e300  # finite, for the parabolas of `minimize_scalar`
        frequency = float(np.exp(log_frequency))
        return ground_state(n_particles, strength, width, cut=cut, frequency=frequency).energy

    # The stiffest possible intrinsic motion: all particles at the bottom of each other's well.
    curvature = n_particles * abs(strength) / (np.sqrt(2 * np.pi) * width**3)
    step = 0.4
    grid = np.arange(-1.2, 0.5 * np.log1p(curvature) + 2.0 * step, step)
    centre = grid[np.argmin([energy(log_frequency) for log_frequency in grid])]
    if time.monotonic() > deadline:
        return float(np.exp(centre))
    best = minimize_scalar(energy, bounds=(centre - step, centre + step), method="bounded", options={"xatol": 0.1})
    return float(np.exp(best.x))


def remainder(energies: Sequence[float], cut: int) -> float:
    """Returns a cautious estimate of the remaining fall of the energy, in hbar omega.

    Falls that shrink like cut^-p leave fall * cut / (step (p - 1)), more than a geometric series
    with the same last ratio. The estimate is twice this number, for the largest of the last three
    falls and the slower of the last two ratios, at best 1/2: falls come in waves (short waves
    converge fast, long ones slowly), so that the last fall alone can be far too small.

    Args:
        energies: bounds for ascending cuts, `_CUT_STEP` apart.
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
