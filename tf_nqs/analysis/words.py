"""Words for the identifiers in result files, for tables and messages."""

from __future__ import annotations

REFERENCE_WORDS = {
    "free_fermions": "free fermions",
    "closed_form": "closed form",
    "relative_coordinate": "relative coordinate",
    "diagonalisation": "diagonalisation, upper bound",
    "diffusion": "diffusion Monte Carlo",
}
"""Kind of a reference -> words."""

STOP_WORDS = {
    "early_stopping": "early stopping",
    "iterations": "last iteration",
    "time_limit": "time limit",
    "interrupted": "interruption",
    "terminated": "termination",
    "failed": "failure",
}
"""Stop reason of a training -> words."""


def stop_words(reason: str) -> str:
    """Returns the words for a stop reason; an unknown one unchanged."""
    return STOP_WORDS.get(reason, reason)
