"""Energies against a parameter of the Hamiltonian: measured points, the curve through them, and its checks."""
