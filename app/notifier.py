"""Who is told of the changes and reads of a service, and when."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Final

from app.events import Context, Event, Listener, list_impacts
from app.kinds import Kind, Kinds
from app.operation import Operation, Outcome
from backends.tolerance import tolerate

log: Final = logging.getLogger("kinto.core.events")

_MOST_ROUNDS: Final = 20
"""The most times that listeners are notified after a commit: of a request, then of what they wrote themselves."""

_rounds: Final[ContextVar[int]] = ContextVar("rounds", default=0)


class Notifier:
    """The listeners of a service, called in the order in which they were added.

    `has_listeners` is whether there are any, `has_events` whether one is called with events, `listens_to_reads` whether
    one has the action `read`, `reads_ancestor_grants` whether one has `ancestor_grants`.
    """

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self.listeners: list[Listener] = []
        self.has_listeners = self.has_events = self.listens_to_reads = self.reads_ancestor_grants = False

    def add(self, listener: Listener) -> None:
        """Add a listener to changes or reads."""
        self.listeners.append(listener)
        self.has_listeners = True
        self.has_events |= any((listener.before, listener.at_commit, listener.after))
        self.listens_to_reads |= "read" in listener.actions
        self.reads_ancestor_grants |= listener.ancestor_grants

    def before(self, events: Sequence[Event], context: Context) -> None:
        """Call listeners inside the transaction. An ApiError that one raises rolls everything back (C-EVT-6)."""
        for event in events:
            for listener in self.listeners:
                if listener.before and listener.matches(event):
                    listener.before(event, context)

    def awaits_commit(self, events: Iterable[Event]) -> bool:
        """Return whether a listener is to be called with one of these events just before the COMMIT."""
        return any(listener.at_commit and listener.matches(event) for event in events for listener in self.listeners)

    def at_commit(self, events: Iterable[Event]) -> None:
        """Call listeners just before the COMMIT. An error that one raises rolls everything back (C-EVT-6)."""
        for event in events:
            for listener in self.listeners:
                if listener.at_commit and listener.matches(event):
                    listener.at_commit(event)

    def together(self, outcomes: Sequence[tuple[Operation, Outcome]], context: Context) -> None:
        """Call the listeners to all changes of a request inside the transaction, as `before` does."""
        listeners = [(listener, listener.together) for listener in self.listeners if listener.together]
        impacts = list_impacts(outcomes, self._kinds) if listeners else ()
        for listener, together in listeners:
            own_impacts = listener.select(impacts)
            if own_impacts:
                together(own_impacts, context)

    def after(self, events: Sequence[Event]) -> None:
        """Call listeners after the commit. Errors that they raise are logged and change nothing (C-EVT-7).

        The request of a listener notifies listeners too, in a further round; in the last one this is an error.
        """
        token = _rounds.set(_rounds.get() + 1)
        try:
            for event in events:
                for listener in self.listeners:
                    with tolerate(log, "Unable to notify", logging.ERROR):
                        if listener.after and listener.matches(event):
                            _expect_few_rounds()
                            listener.after(event)
        finally:
            _rounds.reset(token)

    def uses_deleted_documents(self, kind: Kind) -> bool:
        """Return whether a listener to deletions uses the documents that objects of a kind had."""
        return any(listener.old_documents and listener.accepts("delete", kind) for listener in self.listeners)


def _expect_few_rounds() -> None:
    """Raise RuntimeError where Kinto would go on for ever: a listener is notified of its own requests."""
    if _rounds.get() > _MOST_ROUNDS:
        raise RuntimeError(f"Listeners still cause changes after {_MOST_ROUNDS} rounds: do they notify themselves?")
