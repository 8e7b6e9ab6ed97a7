"""Measure a service from outside: its decisions, its requests and its backends."""
