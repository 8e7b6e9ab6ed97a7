"""Move whole databases: rows out of one moment of a database, and rows in bulk into another one.

A copy (`copying`) takes all rows from one storage to another; `entries` makes of rows the objects and lists that a dump
has, and rows of these again. `digests` tells whether two databases hold the same.
"""
