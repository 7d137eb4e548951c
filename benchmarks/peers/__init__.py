"""The same iteration in several frameworks, one per file, each served by its own process."""
