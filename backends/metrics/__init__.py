"""Where measurements go: the interface that plugins use too (plugins contract, 11), and one that takes no notice."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Protocol

Labels = Sequence[tuple[str, str]]
"""Names and values that tell apart what one name measures."""


class Metrics(Protocol):
    """A place that takes measurements; what is measured never waits for it and never fails by it (O-MON-15).

    Raises RuntimeError only for a name that measures two kinds of things.
    """

    def timer(self, name: str, labels: Labels = ()) -> AbstractContextManager[object]:
        """Measure how long a block takes."""

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Take how long something took."""

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Take a value as it is now."""

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        """Count something. With *unique* only different ones count: a text, or names and values."""

    def close(self) -> None:
        """Give back what the place holds."""


class Timing(ABC):
    """What all places have in common: a timer is a timing of a block."""

    @contextmanager
    def timer(self, name: str, labels: Labels = ()) -> Iterator[None]:
        """Measure how long a block takes, however it ends."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timing(name, time.perf_counter() - start, labels)

    @abstractmethod
    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Take how long something took."""

    def close(self) -> None:
        """Do nothing of its own."""
        return None


class Silent:
    """Takes no notice of anything: nobody asked for metrics."""

    def timer(self, name: str, labels: Labels = ()) -> AbstractContextManager[object]:
        """Do nothing."""
        return nullcontext()

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Do nothing."""

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Do nothing."""

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


SILENT: Final = Silent()


class Several(Timing):
    """Tells several places the same (O-MON-14)."""

    def __init__(self, places: Sequence[Metrics]) -> None:
        self.places = tuple(places)

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Take how long something took."""
        for place in self.places:
            place.timing(name, seconds, labels)

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Take a value as it is now."""
        for place in self.places:
            place.observe(name, value, labels)

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        """Count something."""
        for place in self.places:
            place.count(name, amount, unique)

    def close(self) -> None:
        """Close each place."""
        for place in self.places:
            place.close()
