"""Measure what requests cost: `python -m tests.bench --help`."""
