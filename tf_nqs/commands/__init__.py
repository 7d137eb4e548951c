"""The commands: what they have in common, and the work of each."""
