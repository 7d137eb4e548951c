"""Measuring a frozen wave function: equilibration and energy."""
