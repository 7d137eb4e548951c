"""The same iteration in several frameworks, one per file, each in a separate process."""
