"""Which lists are derived (a history), and for which of them writers compete.

The clock of a derived list is read with everything else, and moved in the last message of a transaction if it is still
as it was read (`backends.storage.write_statements`). So no message is spent on its lock where nobody else writes to the
bucket in that moment. Where somebody does, the transaction is tried again with a message of its own for that lock, and
so are all transactions of this process for some seconds: a try that is refused costs more than that message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from backends.storage.keys import derived_lists, is_derived

CONTENDED_SECONDS: Final = 5.0
"""For how long a list counts as contended after a transaction was refused."""

_MAX_LISTS: Final = 10_000
"""The number of lists at which those are forgotten that are contended no longer."""


class ContendedLists:
    """The lists for which writers competed in the last `CONTENDED_SECONDS`; the *clock* returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[str, float] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._ends and self._ends[name] > self._clock()

    def add(self, names: Iterable[str]) -> None:
        """Note that writers compete for lists now."""
        now = self._clock()
        ends = self._ends | dict.fromkeys(names, now + CONTENDED_SECONDS)
        if len(ends) > _MAX_LISTS:
            ends = {name: end for name, end in ends.items() if end > now}
        self._ends = ends  # as a whole: other threads read it meanwhile

    def clear(self) -> None:
        """Forget all lists: they are gone."""
        self._ends = {}


class DerivedLists:
    """The derived lists of a service; *kinds* has for each the name of its parent's list and its own."""

    def __init__(self, kinds: Collection[tuple[str, str]], contended: ContendedLists) -> None:
        self._kinds = kinds
        self.contended = contended

    def __contains__(self, name: str) -> bool:
        return is_derived(name, self._kinds)

    def inside(self, bucket: str) -> list[str]:
        """Return the derived lists of the object at the top that is the *bucket*, in the order of their names."""
        return derived_lists(bucket, self._kinds)
