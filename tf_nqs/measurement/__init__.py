"""Measuring a frozen wave function: equilibration, energy, observables."""
