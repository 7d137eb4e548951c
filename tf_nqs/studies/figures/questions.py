"""The statements of the thesis on each figure, and the answers of our runs, with their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tf_nqs.studies.figures import answers
from tf_nqs.studies.figures.answers import Answer
from tf_nqs.studies.figures.outcomes import Outcome


class Question(NamedTuple):
    """A statement of the thesis that runs can confirm or not.

    Attributes:
        figure: name of the figure that it is about.
        statement: of the thesis, a sentence.
        source: where it stands.
        runs: names of the runs that answer it.
        answer: their outcomes -> answer.
    """

    figure: str
    statement: str
    source: str
    runs: tuple[str, ...]
    answer: Callable[..., Answer]


QUESTIONS = (
    Question(
        "fig2",
        "Early stopping fires on the plateau, after 23022 of 1e5 iterations.",
        "Sec. 3.1",
        ("a4v10", "a4v10_full"),
        answers.stops_early,
    ),
    Question(
        "fig2",
        "After the stop the energy changes little: 10.89(2) became 10.892(5).",
        "Sec. 3.1",
        ("a4v10", "a4v10_full"),
        answers.little_is_left,
    ),
    Question(
        "fig3",
        "With interaction transfer the network converges in fewer iterations, 8007 rather than 23022.",
        "Sec. 3.2.1",
        ("a4v10_transfer", "a4v10"),
        answers.converges_sooner,
    ),
    Question(
        "fig3",
        "With interaction transfer the energy is more accurate.",
        "Sec. 3.2.1",
        ("a4v10_transfer", "a4v10"),
        answers.is_lower,
    ),
    Question(
        "fig4",
        "Frozen after particle transfer, the network never triggers early stopping, as its energy stays noisy.",
        "Sec. 3.2.2",
        ("a4v10_frozen",),
        answers.never_stops,
    ),
    Question(
        "fig4",
        "The frozen network can still converge to the minimum.",
        "Sec. 3.2.2",
        ("a4v10_frozen", "a4v10"),
        answers.reaches_the_minimum,
    ),
    Question(
        "fig5",
        "Freezing shortens gradient and update.",
        "Sec. 3.2.2",
        ("a4v10_frozen", "a4v10"),
        answers.gradient_is_shorter,
    ),
    Question(
        "fig5",
        "Sampling takes an order of magnitude longer than gradient and update together.",
        "Sec. 3.2.2",
        ("a4v10",),
        answers.sampling_dominates,
    ),
    Question(
        "fig5",
        "So freezing makes a whole iteration hardly any faster.",
        "Sec. 3.2.2",
        ("a4v10_frozen", "a4v10"),
        answers.iteration_is_no_shorter,
    ),
    Question(
        "fig6",
        "Re-weighted, the network converges in fewer iterations, 15014 rather than 23022, though not always.",
        "Sec. 3.3",
        ("a4v10_reused", "a4v10"),
        answers.converges_sooner,
    ),
    Question(
        "fig7",
        "Re-weighting makes the time of sampling about ten times shorter.",
        "Sec. 3.3",
        ("a4v10_reused", "a4v10"),
        answers.sampling_is_shorter,
    ),
    Question(
        "fig7",
        "So re-weighting shortens training, also where sampling is compiled.",
        "Sec. 5; compiled: our question",
        ("a4v10_reused", "a4v10"),
        answers.iteration_is_shorter,
    ),
    Question(
        "fig8",
        "Samples serve ever longer: 20 iterations at first, 80 at the end.",
        "Sec. 3.3",
        ("a4v10_reused",),
        answers.waits_grow,
    ),
    Question(
        "fig10",
        "Released in the last stage, the network trains with less noise.",
        "Sec. 4.1",
        ("a4v10_chain_released", "a4v10_chain_frozen"),
        answers.is_less_noisy,
    ),
    Question(
        "fig10",
        "Frozen to the end, the network converges as well.",
        "Sec. 4.1",
        ("a4v10_chain_frozen", "a4v10_chain_released"),
        answers.reaches_the_minimum,
    ),
    Question(
        "fig11",
        "Re-weighting brings spikes, some of them below the ground state.",
        "Sec. 4.2",
        ("a4v10_transfer_reused", "a4v10_transfer"),
        answers.dips_below,
    ),
    Question(
        "fig11",
        "Stale log-probabilities are their cause: where ln|Psi| of the walkers is recomputed at the start of every "
        "sampling, as here, there are none.",
        "our question",
        ("a4v10_transfer_reused", "a4v10_transfer"),
        answers.dips_without_staleness,
    ),
    Question(
        "fig11",
        "With more walkers and steps the spikes are gone.",
        "Sec. 4.2",
        ("a4v10_transfer_reused_many", "a4v10_transfer_reused"),
        answers.dips_less,
    ),
    Question(
        "fig11",
        "Limits on the spread of the weights and on the fall of the energy do away with the spikes too.",
        "our question",
        ("a4v10_transfer_guarded", "a4v10_transfer_reused"),
        answers.dips_less,
    ),
    Question(
        "fig11",
        "With interaction transfer, re-weighting needs more iterations, 92091 rather than 8007.",
        "Sec. 4.2",
        ("a4v10_transfer", "a4v10_transfer_reused"),
        answers.converges_sooner,
    ),
    Question(
        "fig12",
        "After particle transfer, re-weighting with more walkers helps the accuracy: 10.928(7), not 10.9(6).",
        "Sec. 4.3",
        ("a4v10_frozen_reused_many", "a4v10_frozen"),
        answers.is_lower,
    ),
    Question(
        "fig13",
        "All techniques together train 96.9 % fewer parameters, and their energy is higher: 10.917(7), not 10.893(5).",
        "Sec. 4.4",
        ("a4v10_all", "a4v10_full"),
        answers.is_higher_with_fewer_parameters,
    ),
    Question(
        "fig13",
        "All techniques together make training ten times shorter.",
        "Sec. 4.4",
        ("a4v10_all", "a4v10_full", "a2v5", "a4v5_frozen"),
        answers.training_is_shorter,
    ),
)


def answered(figure: str, outcomes: Mapping[str, Outcome]) -> list[tuple[Question, Answer]]:
    """Returns the questions on a figure for which all runs have an outcome, with their answers.

    A run that a time limit has stopped decides nothing: its energy is still falling.

    Args:
        figure: its name.
        outcomes: name of a run -> its outcome.
    """
    asked = [question for question in QUESTIONS if question.figure == figure and outcomes.keys() >= set(question.runs)]
    return [(question, _answer(question, [outcomes[run] for run in question.runs])) for question in asked]


def _answer(question: Question, runs: Sequence[Outcome]) -> Answer:
    cut_short = [f"{one.run.name} ({one.iterations} iterations)" for one in runs if one.is_cut_short]
    if cut_short:
        return Answer(None, f"Not trained to the end yet: {', '.join(cut_short)}.")
    return question.answer(*runs)
