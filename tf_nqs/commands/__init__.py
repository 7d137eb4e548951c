"""Flags and help of all commands; the commands `train` and `export`."""
