"""The interface of metrics backends, for plugins too (plugins contract, 11), and a backend that ignores everything."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Protocol

Labels = Sequence[tuple[str, str]]
"""Names and values that distinguish the measurements of one metric."""


class Metrics(Protocol):
    """A metrics backend. The measured code never waits for it and never fails because of it (O-MON-15).

    Raises RuntimeError only if one name is used for two types of metrics.
    """

    def timer(self, name: str, labels: Labels = ()) -> AbstractContextManager[object]:
        """Measure the duration of a block."""

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Record a duration."""

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Record a current value."""

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        """Increment a counter; with *unique*, a text or names and values, count distinct ones."""

    def close(self) -> None:
        """Release the resources of the backend."""


class Timing(ABC):
    """A base of backends that implements `timer` by `timing`."""

    @contextmanager
    def timer(self, name: str, labels: Labels = ()) -> Iterator[None]:
        """Measure the duration of a block, even if it raises an error."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timing(name, time.perf_counter() - start, labels)

    @abstractmethod
    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Record a duration."""

    def close(self) -> None:
        """Do nothing."""
        return None


class NullMetrics:
    """Ignore all measurements, if no setting enables metrics."""

    def timer(self, name: str, labels: Labels = ()) -> AbstractContextManager[object]:  # noqa: ARG002  # as in Metrics
        """Do nothing."""
        return _NO_TIMER

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Do nothing."""

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Do nothing."""

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


NO_METRICS: Final = NullMetrics()
_NO_TIMER: Final = nullcontext()


class CombinedMetrics(Timing):
    """Pass each measurement to several backends (O-MON-14)."""

    def __init__(self, backends: Sequence[Metrics]) -> None:
        self.backends = tuple(backends)

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Record a duration."""
        for backend in self.backends:
            backend.timing(name, seconds, labels)

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Record a current value."""
        for backend in self.backends:
            backend.observe(name, value, labels)

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        """Increment a counter."""
        for backend in self.backends:
            backend.count(name, amount, unique)

    def close(self) -> None:
        """Close all backends."""
        for backend in self.backends:
            backend.close()
