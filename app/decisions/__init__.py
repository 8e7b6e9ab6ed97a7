"""Decide the outcome of an operation from a snapshot: pure rules without HTTP, SQL or I/O."""
