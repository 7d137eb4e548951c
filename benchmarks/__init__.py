"""Benchmarks of tf_nqs and comparisons with other frameworks: see README.md."""
