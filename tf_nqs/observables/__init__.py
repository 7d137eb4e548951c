"""Observables of a trained wave function: densities, correlations and occupations, with standard errors."""

from tf_nqs.observables.file import file_entries
from tf_nqs.observables.grid import NothingMeasuredError, choose_grid
from tf_nqs.observables.measure import Observables, compiled_orbitals, measure_observables
from tf_nqs.observables.table import observables_table

__all__ = [
    "NothingMeasuredError",
    "Observables",
    "choose_grid",
    "compiled_orbitals",
    "file_entries",
    "measure_observables",
    "observables_table",
]
