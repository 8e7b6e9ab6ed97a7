"""Fault injection: real backends whose calls fail from a chosen one on; a plugin with such metrics and listeners."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from flask import Flask

from app.events import Event, Listener
from app.service import Service
from backends import BackendError
from backends.metrics import Labels, Timing
from backends.storage import Transaction

STORAGE: Final = ("read", "read_accessible", "start_clocks", "purge", "ping")
TRANSACTION: Final = tuple(name for name, it in vars(Transaction).items() if callable(it) and not name.startswith("_"))
CACHE: Final = ("get", "set", "delete", "expire", "ttl", "flush")


class Faults:
    """Counts calls; those from number `first` on raise, or with `once` that one alone."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, first: int | None = None, *, once: bool = False, traced: bool = False) -> None:
        """Count from 0; without *first* nothing fails. *traced* calls are remembered with their place."""
        self.calls = 0
        self.first, self.once, self.traced = first, once, traced
        self.names: list[str] = []
        self._sites: list[tuple[str, tuple[object, ...]]] = []

    def step(self, name: str, error: Callable[[str], Exception] = BackendError) -> None:
        """Count a call, or fail it."""
        number, self.calls = self.calls, self.calls + 1
        self.names.append(name)
        if self.traced:
            self._sites.append((name, _place()))
        if self.first is not None and (number == self.first if self.once else number >= self.first):
            raise error(f"injected into {name}")

    def distinct(self) -> list[int]:
        """Return the numbers of the traced calls to fail: of those from one place the first and the last."""
        first: dict[object, int] = {}
        last: dict[object, int] = {}
        for number, site in enumerate(self._sites):
            first.setdefault(site, number)
            last[site] = number
        return sorted({*first.values(), *last.values()})

    def into(self, target: Any, prefix: str, names: Sequence[str]) -> None:
        """Let methods of an object fail."""
        for name in names:
            setattr(target, name, self._failing(f"{prefix}.{name}", getattr(target, name)))

    def _failing(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: Any, **named: Any) -> Any:
            self.step(name)
            return method(*arguments, **named)

        return failing


def _place() -> tuple[object, ...]:
    """Return where a call comes from: the lines of all functions that are running."""
    frame, lines = sys._getframe(2), []
    while frame.f_back is not None:
        lines.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(lines)


FAULTS: Final = Faults()


class _FailingTransaction:
    """A transaction of which every method can fail."""

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction
        FAULTS.into(self, "transaction", TRANSACTION)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_transaction"], name)


class _FailingMetrics(Timing):
    """Metrics of which every method can fail."""

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        FAULTS.step("metrics.timing", OSError)

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        FAULTS.step("metrics.observe", TimeoutError)

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        FAULTS.step("metrics.count", RuntimeError)


class FailingHandler(logging.Handler):
    """A log handler that can fail, which those of `logging` do not."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Fail, or ignore the record."""
        FAULTS.step(f"log.{record.name}", OSError)
        return True


def open_metrics(settings: Any) -> _FailingMetrics:
    """Return the metrics of the plugin."""
    return _FailingMetrics()


def attach(app: Flask, service: Service) -> None:
    """Add a listener after the commit, and let the backends fail."""

    def hear(event: Event) -> None:
        FAULTS.step("listener", TimeoutError)

    service.add_listener(Listener(after=hear, name="listeners.failing"))
    service.add_flush_step(lambda: FAULTS.step("flushed", OSError))
    FAULTS.into(service.cache, "cache", CACHE)
    FAULTS.into(service.storage, "storage", STORAGE)
    inner: Any = service.storage
    while not hasattr(inner, "writing"):
        inner = inner._storage
    transaction = inner.transaction

    @contextmanager
    def failing(*arguments: Any, **named: Any) -> Iterator[Any]:
        FAULTS.step("storage.transaction")
        with transaction(*arguments, **named) as opened:
            yield _FailingTransaction(opened)
            FAULTS.step("commit")

    inner.transaction = failing
