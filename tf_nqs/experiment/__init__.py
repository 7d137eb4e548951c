"""A whole run, from its settings to its folder."""
