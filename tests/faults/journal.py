"""The journal of all requests of a trial, and its comparison with the final state of the lists.

An object is written by one writer only, and never again after a request on it whose outcome is unknown. So its final
state is known: that of its last acknowledged write or, for an unknown request, the state before or after that request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

BOUND_SECONDS: Final = 30.0
"""The longest time that a request may take, whatever is broken."""
_RETRIED: Final = 503

Rows = Mapping[str, Mapping[str, Any]]
"""The objects of one list by id, tombstones included."""


@dataclass(frozen=True, slots=True)
class Change:
    """A write of one object: the token that it stores, None for a deletion; `before` is the token that it replaces.

    `stamp` is the timestamp in the response, 0 if the outcome is unknown.
    """

    list_uri: str
    object_id: str
    before: str | None
    after: str | None
    stamp: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """A request with its response; times are seconds of the monotonic clock.

    `status` is None if the connection broke, `fault` describes a response that is never allowed.
    """

    start: float
    end: float
    status: int | None
    changes: Sequence[Change] = ()
    fault: str = ""

    @property
    def is_acknowledged(self) -> bool:
        """Return whether the response promises that the changes are stored, or has what was read."""
        return self.status is not None and 200 <= self.status < 400

    @property
    def seconds(self) -> float:
        """Return how long the request took."""
        return self.end - self.start


@dataclass(slots=True)
class Journal:
    """All requests of a trial; threads append to it."""

    requests: list[Request] = field(default_factory=list)

    def refused(self) -> int:
        """Count the responses 503."""
        return sum(request.status == _RETRIED for request in self.requests)

    def broken(self) -> int:
        """Count the broken connections."""
        return sum(request.status is None for request in self.requests)

    def acknowledged(self) -> Iterator[Change]:
        """Yield the acknowledged changes."""
        return (change for request in self.requests if request.is_acknowledged for change in request.changes)

    def longest_seconds(self) -> float:
        """Return the time of the slowest request."""
        return max((request.seconds for request in self.requests), default=0.0)

    def recovery_seconds(self, end: float) -> float:
        """Return how long after *end* the last request failed, 0 if none did."""
        failures = [request.end - end for request in self.requests if not request.is_acknowledged]
        return max([0.0, *failures])

    def problems(self) -> list[str]:
        """Return the responses that are never allowed, and the requests that hung."""
        texts = Counter(request.fault for request in self.requests if request.fault)
        hung = sum(request.seconds >= BOUND_SECONDS for request in self.requests)
        lines = [f"{text} ({times} times)" for text, times in texts.items()]
        return lines + ([f"{hung} requests took {BOUND_SECONDS:.0f} s or longer"] if hung else [])


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is wrong with the final state: acknowledged writes that are lost, half batches, timestamps."""

    lost: list[str]
    half_batches: list[str]
    stamps: list[str]


def compare(journal: Journal, lists: Mapping[str, Rows]) -> Comparison:
    """Compare the journal with the final rows of all lists."""
    return Comparison(
        [*_lost(journal, lists)], [*_half_batches(journal, lists)], [*_repeated(journal), *_decreasing(journal)]
    )


def _token(lists: Mapping[str, Rows], change: Change) -> str | None:
    """Return the token that an object has, None if it is deleted or was never stored."""
    return lists[change.list_uri].get(change.object_id, {}).get("token")


def _lost(journal: Journal, lists: Mapping[str, Rows]) -> Iterator[str]:
    unknown = {
        (change.list_uri, change.object_id)
        for request in journal.requests
        if not request.is_acknowledged
        for change in request.changes
    }
    last = {(change.list_uri, change.object_id): change for change in journal.acknowledged()}
    for key, change in last.items():
        row = lists[change.list_uri].get(change.object_id, {})
        if key not in unknown and (row.get("token"), row.get("last_modified")) != (change.after, change.stamp):
            yield f"{change}: the row is {row}"
    for request in journal.requests:
        for change in () if request.is_acknowledged else request.changes:
            if _token(lists, change) not in (change.before, change.after):
                yield f"{change}: the token is {_token(lists, change)}"


def _half_batches(journal: Journal, lists: Mapping[str, Rows]) -> Iterator[str]:
    for request in journal.requests:
        done = {_token(lists, change) == change.after for change in request.changes}
        if not request.is_acknowledged and len(done) > 1:
            yield f"{request.changes}"


def _repeated(journal: Journal) -> Iterator[str]:
    stamps = Counter((change.list_uri, change.stamp) for change in journal.acknowledged())
    return (f"{list_uri} gave {stamp} {times} times" for (list_uri, stamp), times in stamps.items() if times > 1)


def _decreasing(journal: Journal) -> Iterator[str]:
    """Yield timestamps that are not above those that were acknowledged before their request began."""
    events: list[tuple[float, int, Change]] = []
    for request in journal.requests:
        for change in request.changes if request.is_acknowledged else ():
            events += [(request.start, 0, change), (request.end, 1, change)]
    newest: dict[str, int] = {}
    floors: dict[Change, int] = {}
    for _, acknowledged, change in sorted(events, key=lambda event: event[:2]):
        reached = newest.get(change.list_uri, 0)
        if not acknowledged:
            floors[change] = reached
            continue
        if change.stamp <= floors[change]:
            yield f"{change} is not above {floors[change]}"
        newest[change.list_uri] = max(reached, change.stamp)


def missed(copy: Rows, rows: Rows) -> list[str]:
    """Return the ids of the objects of which a poller's copy differs from the final rows."""
    return sorted(name for name in copy.keys() | rows.keys() if copy.get(name) != rows.get(name))
