"""Decide what an operation does, from a snapshot: pure rules without HTTP, SQL or I/O."""
