"""Whole trainings, from random weights to the ground state, each in a separate process."""
