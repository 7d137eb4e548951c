"""The answers of runs to the statements of the thesis: a verdict, and a sentence with their numbers.

Energies are in hbar*omega; a difference counts if it exceeds three combined standard errors.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.profile import WHOLE
from tf_nqs.studies.figures.outcomes import Outcome

SIGNIFICANT = 3.0
"""Combined standard errors by which two energies, or two shares of iterations, must differ to count."""

NOTICEABLE = 0.1
"""Relative difference by which two times, or two noises, must differ to count."""

THESIS_ERROR = 0.02
"""Error that the thesis states for its first energy; it could not resolve smaller changes."""

LAST = 500
"""Number of iterations at the end of a training whose noise is compared."""

DIP = 4.0
"""Standard errors below the ground state that chance does not explain."""


class Answer(NamedTuple):
    """The answer of runs to a statement.

    Attributes:
        agrees: whether they confirm it; None where they do not decide it.
        text: what was found, a sentence or two.
    """

    agrees: bool | None
    text: str


NO_GROUND_STATE = Answer(None, "There is no reference energy to compare with.")


def stops_early(stopping: Outcome, full: Outcome) -> Answer:
    """Whether early stopping has fired."""
    return Answer(
        stopping.has_converged,
        f"It fired after {stopping.iterations} of {full.iterations} iterations."
        if stopping.has_converged
        else f"It did not fire in {stopping.iterations} iterations: {_blocked_by(stopping)}.",
    )


def little_is_left(stopping: Outcome, full: Outcome) -> Answer:
    """Whether the energy falls after the stop by less than the thesis could resolve."""
    change, error = _difference(full, stopping)
    return Answer(
        stopping.has_converged and change > -THESIS_ERROR,
        f"{_energy(stopping)} became {_energy(full)}, {_change(change, error)}.",
    )


def converges_sooner(first: Outcome, second: Outcome) -> Answer:
    """Whether the first run converges in fewer iterations than the second."""
    text = f"{_stop(first)} ({_about(first)}); {_stop(second)} ({_about(second)})."
    if not first.has_converged:
        return Answer(False if second.has_converged else None, text)
    return Answer(first.iterations < second.iterations, text)


def is_lower(first: Outcome, second: Outcome) -> Answer:
    """Whether the first run's energy is lower; both are upper bounds, so the lower one is the more accurate."""
    change, error = _difference(first, second)
    text = f"{_energy(first)} ({_about(first)}), {_energy(second)} ({_about(second)}): {_change(change, error)}."
    return Answer(change < 0 if abs(change) >= SIGNIFICANT * error else None, text)


def never_stops(run: Outcome) -> Answer:
    """Whether early stopping has not fired."""
    text = _stop(run) + "." if run.has_converged else f"{_stop(run)}: {_blocked_by(run)}."
    return Answer(not run.has_converged, text)


def reaches_the_minimum(frozen: Outcome, free: Outcome) -> Answer:
    """Whether the frozen run ends as low as the free one, as far as the thesis could resolve it."""
    change, error = _difference(frozen, free)
    if not math.isfinite(error):
        return Answer(None, f"{_energy(frozen)} frozen, {_energy(free)} not: the error is unknown.")
    if change < SIGNIFICANT * error:
        agrees, verdict = True, "freezing costs no accuracy"
    else:
        agrees, verdict = change < THESIS_ERROR, "freezing costs accuracy"
    small = f", though less than the thesis' first error of {THESIS_ERROR:g}" if agrees and change > 0 else ""
    text = f"{_energy(frozen)} frozen, {_energy(free)} not: {_change(change, error)}, so {verdict}{small}."
    return Answer(agrees, text)


def gradient_is_shorter(frozen: Outcome, free: Outcome) -> Answer:
    """Whether gradient and update take less time in the first run."""
    now, before = _milliseconds(frozen, "gradient", "update"), _milliseconds(free, "gradient", "update")
    return Answer(now < (1 - NOTICEABLE) * before, f"{now:.2f} ms per iteration rather than {before:.2f} ms.")


def sampling_dominates(run: Outcome) -> Answer:
    """Whether sampling takes about ten times as long as gradient and update."""
    sampling, rest = _milliseconds(run, "sampling"), _milliseconds(run, "gradient", "update")
    return Answer(
        sampling > 5 * rest, f"Sampling takes {sampling:.2f} ms, they {rest:.2f} ms: {sampling / rest:.1f} times."
    )


def iteration_is_no_shorter(first: Outcome, second: Outcome) -> Answer:
    """Whether a whole iteration of the first run takes as long as one of the second."""
    answer = iteration_is_shorter(first, second)
    return answer._replace(agrees=not answer.agrees)


def iteration_is_shorter(first: Outcome, second: Outcome) -> Answer:
    """Whether a whole compiled iteration of the first run takes less time than one of the second."""
    now, before = _milliseconds(first, WHOLE), _milliseconds(second, WHOLE)
    return Answer(
        now < (1 - NOTICEABLE) * before,
        f"A compiled iteration takes {now:.2f} ms rather than {before:.2f} ms: {before / now:.2f} times as fast.",
    )


def sampling_is_shorter(reusing: Outcome, fresh: Outcome) -> Answer:
    """Whether sampling takes about a tenth of the time; counted during training, timed after it."""
    now, before = _milliseconds(reusing, "sampling"), _milliseconds(fresh, "sampling")
    fewer = reusing.iterations / max(reusing.result["n_samplings"], 1)
    found = f"sampling took {before / now:.1f} times less time" if now else "no iteration drew any"
    return Answer(
        fewer > 5 and before > 5 * now if now else None,
        f"In training, one iteration in {fewer:.1f} drew samples; in the profile after it, {found}. "
        f"But re-weighting needs ln|Psi| of all walkers in every iteration, "
        f"{_milliseconds(reusing, 'forward'):.2f} ms.",
    )


def waits_grow(run: Outcome) -> Answer:
    """Whether samples serve longer at the end of training than at its start."""
    sampled = run.metrics["sampled"]
    tenth = max(len(sampled) // 10, 1)
    first, last = (tenth / max(part.sum(), 1) for part in (sampled[:tenth], sampled[-tenth:]))
    return Answer(
        bool(last > (1 + NOTICEABLE) * first),
        f"On average {first:.1f} iterations in the first tenth of training, {last:.1f} in the last.",
    )


def is_less_noisy(first: Outcome, second: Outcome) -> Answer:
    """Whether the energies of the first run's last iterations spread less."""
    now, before = (float(np.std(run.last("energy", LAST), ddof=1)) for run in (first, second))
    return Answer(
        now < (1 - NOTICEABLE) * before,
        f"In the last {LAST} iterations the energies spread by {now:.2g} rather than {before:.2g}.",
    )


def dips_below(reusing: Outcome, fresh: Outcome) -> Answer:
    """Whether energies of iterations below the ground state are more frequent with reused samples."""
    if not _know_the_ground_state(reusing, fresh):
        return NO_GROUND_STATE
    agrees = _is_above(_dips(reusing), _dips(fresh))
    text = f"{_dip_words(reusing)}; sampled in every iteration, {_dip_words(fresh)}{_doubt(agrees)}. "
    return Answer(agrees, text + _deepest(reusing))


def dips_without_staleness(reusing: Outcome, fresh: Outcome) -> Answer:
    """Whether stale ln|Psi| causes the dips: refuted by dips without it, never confirmed by their absence."""
    answer = dips_below(reusing, fresh)
    if answer is NO_GROUND_STATE:
        return answer
    found = "there are spikes all the same" if answer.agrees else "spikes are not shown to be there"
    return Answer(
        False if answer.agrees else None,
        "No run here keeps stale values, so their effect itself is not tested, only whether there are spikes although "
        f"ln|Psi| is recomputed: {found}. {answer.text}",
    )


def dips_less(guarded: Outcome, unguarded: Outcome) -> Answer:
    """Whether the share of dips in the first run is less than half that in the second."""
    if not _know_the_ground_state(guarded, unguarded):
        return NO_GROUND_STATE
    share, error = _dips(unguarded)
    agrees = _is_above((share / 2, error / 2), _dips(guarded))
    text = f"{_dip_words(guarded)}, rather than {_dip_words(unguarded)}{_doubt(agrees)}. {_deepest(guarded)}"
    return Answer(agrees, text)


def is_higher_with_fewer_parameters(frozen: Outcome, free: Outcome) -> Answer:
    """Whether the frozen run has a higher energy."""
    change, error = _difference(frozen, free)
    trained, of = frozen.result["n_trainable_parameters"], free.result["n_trainable_parameters"]
    text = (
        f"{trained} of {of} parameters were trained, {100 * (1 - trained / of):.2f} % fewer; "
        f"{_energy(frozen)} and {_energy(free)}: {_change(change, error)}."
    )
    return Answer(change > 0 if abs(change) >= SIGNIFICANT * error else None, text)


def training_is_shorter(last: Outcome, plain: Outcome, *earlier: Outcome) -> Answer:
    """Whether training takes a fraction of the time, with and without the stages before it."""
    own, all_stages = last.result["seconds_training"], sum(run.result["seconds_training"] for run in (last, *earlier))
    before = plain.result["seconds_training"]
    return Answer(
        before > 5 * own,
        f"{own:.0f} s rather than {before:.0f} s, {before / own:.1f} times shorter; with the stages before it, "
        f"{all_stages:.0f} s, {before / all_stages:.1f} times.",
    )


def _difference(first: Outcome, second: Outcome) -> tuple[float, float]:
    return first.energy - second.energy, math.hypot(first.energy_error, second.energy_error)


def _change(change: float, error: float) -> str:
    return f"{change:+.4f} ± {'unknown' if math.isnan(error) else f'{error:.4f}'} ħω"


def _energy(run: Outcome) -> str:
    return format_with_error(run.energy, run.energy_error)


def _about(run: Outcome) -> str:
    return run.run.about


def _stop(run: Outcome) -> str:
    fired = "stopped" if run.has_converged else "not stopped"
    return f"{fired} after {run.iterations} iterations"


def _blocked_by(run: Outcome) -> str:
    """Returns the reason why early stopping has not fired, in the words of the run."""
    return (run.result["stop_explanation"] or "it was not active").removeprefix("not converged: ")


def _milliseconds(run: Outcome, *phases: str) -> float:
    return 1e3 * sum(run.profile[phase].seconds_per_iteration for phase in phases)


def _know_the_ground_state(*runs: Outcome) -> bool:
    """Whether all runs have a reference energy and its uncertainty."""
    return all(run.result[f"reference_{what}"] is not None for run in runs for what in ("energy", "uncertainty"))


def _sigmas_below(run: Outcome) -> np.ndarray:
    """Returns the depth of each iteration's energy below the ground state, in standard errors; nan if unknown."""
    floor = run.result["reference_energy"] - run.result["reference_uncertainty"]
    return (floor - run.metrics["energy"]) / run.metrics["energy_error"]


def _dips(run: Outcome) -> tuple[float, float]:
    """Returns the share of iterations far below the ground state, and the Poisson error of their count.

    Iterations that share samples dip together, so the true error of few, long dips is larger.
    """
    below = _sigmas_below(run) > DIP
    return float(np.mean(below)), math.sqrt(np.sum(below)) / len(below)


def _is_above(first: tuple[float, float], second: tuple[float, float]) -> bool | None:
    """Whether the first share, with its error, is larger than the second; None if the errors leave that open."""
    difference, error = first[0] - second[0], math.hypot(first[1], second[1])
    return None if abs(difference) <= SIGNIFICANT * error else difference > 0


def _doubt(agrees: bool | None) -> str:
    return ": too few to decide" if agrees is None else ""


def _dip_words(run: Outcome) -> str:
    count = int(np.sum(_sigmas_below(run) > DIP))
    return f"{count} of {run.iterations} iterations are more than {DIP:g} of their errors below the ground state"


def _deepest(run: Outcome) -> str:
    below = np.nan_to_num(_sigmas_below(run), nan=-np.inf)
    index = int(np.argmax(below))
    depth = run.result["reference_energy"] - run.metrics["energy"][index]
    return f"The deepest is {depth:.3f} ħω below it, {below[index]:.1f} of its errors."
