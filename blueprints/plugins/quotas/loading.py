"""Count the objects that `kinto load` loads, in its transaction."""

from __future__ import annotations

from blueprints.plugins import Kind, Stored, Transaction
from blueprints.plugins.quotas.rule import write
from blueprints.plugins.quotas.sizes import size_of
from blueprints.plugins.quotas.usage import COUNTED, Changes


class Recount:
    """Counts objects, and stores the numbers at the end."""

    def __init__(self) -> None:
        self._changes = Changes()

    def add(self, kind: Kind, stored: Stored) -> None:
        """Count an object."""
        if kind.name == "bucket":
            self._changes.deleted_buckets.add(stored.uri)
        if kind.name in COUNTED and not stored.deleted:
            self._changes.count(kind.name, stored.uri, 1, size_of(stored))

    def finish(self, transaction: Transaction) -> None:
        """Store the numbers, in the place of any that a deleted bucket of the same name has left."""
        write(self._changes, transaction)
