"""Compilation of functions of walkers, their division into chunks, and their peak memory."""
