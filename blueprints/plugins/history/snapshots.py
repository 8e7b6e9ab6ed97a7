"""Serve the records of a collection as they were at a time (plugins contract, 7.5).

Theory of operation. A record that has not changed since then is as it is now. Any other is as its newest entry of that
time or before shows it. So the snapshot is merged from two sources, in the order of timestamps:

- `_current`: the present records with a timestamp up to that time, page by page.
- `_past`: for each record the newest entry up to that time, unless it is a deletion. The entries of the collection are
  read once, page by page, and one line is kept of each: its record, its place in the history, the age of the record,
  its own id and size. The lines are sorted by record, so that the newest entry of each is found, then by age
  (`sort_lines`, in files if they are many). Then the entries themselves are read, page by page.

The entries of the collection are found by an automatic index of the history, if there is one; each page counts as one
that wants it (`app.indexing`).

A record that has not changed is in both sources with one timestamp, and is written once: so it is not missed if it
changes while the snapshot is read. The two differ where a change left no entry (P-HIST-20); then the present record
counts. A record without entries is missed if it changes meanwhile.

The memory that a snapshot takes does not depend on the number and size of records and entries: the response is written
while they are read, some together (`_PAGE_SIZE`, `_PAGE_BYTES`).
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, groupby, takewhile
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote, unquote

from flask import Response

from blueprints.plugins import Filter, Page, Selection, Service, Stored, stream
from blueprints.plugins.history.sorting import sort_lines

_PAGE_SIZE: Final = 500
_PAGE_BYTES: Final = 1 << 22
"""The size of the objects that are read, and written, together; at least one is."""

_LATEST: Final = 253_402_300_799_999
"""The greatest timestamp in ms: it turns timestamps into numbers that sort the newest first."""

_Item = TypeVar("_Item")


class _Version(NamedTuple):
    """A record as it was: sorts by `age`, the newest first."""

    age: int
    record_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The records of a collection in a bucket as they were at a timestamp in ms."""

    service: Service
    bucket: str
    collection_id: str
    timestamp: int

    def to_response(self) -> Response:
        """Return the response; it is read from the storage while it is written."""
        return stream(self.service, self._parts())

    def _parts(self) -> Iterator[str]:
        versions = heapq.merge(self._current(), self._past())
        records = (next(group) for _, group in groupby(versions, lambda version: version[:2]))
        before = '{"data":['
        for page in _divide(records, lambda version: len(version.text)):
            yield before + ",".join(version.text for version in page)
            before = ","
        yield "]}" if before == "," else f"{before}]}}"

    @property
    def _records(self) -> str:
        return f"{self.bucket}/collections/{self.collection_id}/records"

    @property
    def _history(self) -> str:
        return f"{self.bucket}/history"

    def _pages(self, list_uri: str, filters: Iterable[Filter]) -> Iterator[list[Stored]]:
        """Yield the objects of a list that match, the newest first.

        The database looks at as many objects as a page may have: after a page that was cut by its size, these are few.
        """
        page = Page(list_uri, tuple(filters), limit=_PAGE_SIZE, unrestricted=True, max_bytes=_PAGE_BYTES)
        while True:
            snapshot = self.service.storage.read(Selection(self.bucket, clocks=(list_uri,), page=page))
            self.service.indexing.notice(page, snapshot)
            objects = snapshot.page
            yield objects
            if len(objects) < page.limit and not snapshot.is_cut:
                return
            limit = len(objects) if snapshot.is_cut else page.limit
            after = objects[-1].timestamp, objects[-1].uri
            page = replace(page, after=after, limit=min(limit + limit // 4 + 1, _PAGE_SIZE))

    def _current(self) -> Iterator[_Version]:
        """Yield the present records that are as old as the snapshot."""
        for page in self._pages(self._records, [Filter(("last_modified",), "max", self.timestamp)]):
            yield from (_Version(_LATEST - stored.timestamp, stored.id, stored.text) for stored in page)

    def _past(self) -> Iterator[_Version]:
        """Yield the records of the newest entries, but those that the present records contradict."""
        lines = map(str.split, sort_lines(self._newest(sort_lines(self._lines()))))
        for batch in _divide(lines, lambda parts: int(parts[-1])):
            entries = [f"{self._history}/{entry_id}" for _, _, entry_id, _ in batch]
            records = [f"{self._records}/{unquote(record_id)}" for _, record_id, *_ in batch]
            objects = self.service.storage.read(
                # Of the present records only the timestamps count.
                Selection(self.bucket, tuple(entries), tuple(records), ancestor_documents=False, limited_grants=True)
            ).objects
            for (age, record_id, *_), entry, record in zip(batch, entries, records, strict=True):
                present = objects.get(record)
                outdated = present is not None and _LATEST - int(age) < present.timestamp <= self.timestamp
                if entry in objects and not outdated:
                    data = objects.pop(entry).data()["target"]["data"]
                    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
                    yield _Version(int(age), unquote(record_id), text)

    def _lines(self) -> Iterator[str]:
        """Yield a line for each entry of a record: the record, the place of the entry, and the entry."""
        beginning = self._beginning()
        entries = chain.from_iterable(self._pages(self._history, self._filters()))
        for number, entry in enumerate(takewhile(lambda entry: entry.timestamp > beginning, entries)):
            document = entry.data()
            data, action = document["target"]["data"], document["action"]
            if document["resource_name"] == "record":
                record_id, age = quote(data["id"], safe=""), _LATEST - data["last_modified"]
                yield f"{record_id} {number:015} {age:015} {action} {entry.id} {len(entry.text)}\n"

    def _newest(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield a line for the newest entry of each record, unless it is a deletion: age, record and entry."""
        for _, group in groupby(map(str.split, lines), lambda parts: parts[0]):
            record_id, _, age, action, entry_id, size = next(group)
            if action != "delete":
                yield f"{age} {record_id} {entry_id} {size}\n"

    def _beginning(self) -> int:
        """Return the timestamp of the last entry that creates or deletes the collection: no former record is left.

        One of the two may have left no entry, or one that was trimmed (P-HIST-20, P-HIST-21); 0 if both have.
        """
        uri = f"{self.bucket}/collections/{self.collection_id}"
        filters = (*self._filters(), Filter(("uri",), "eq", uri), Filter(("action",), "in", ("create", "delete")))
        page = Page(self._history, filters, limit=1, unrestricted=True)
        entries = self.service.storage.read(Selection(self.bucket, page=page)).page
        return entries[0].timestamp if entries else 0

    def _filters(self) -> list[Filter]:
        """Return the filters of entries about the collection and its records, up to the time of the snapshot.

        An index that consoles want serves them too: one by the collection alone.
        """
        return [
            Filter(("collection_id",), "eq", self.collection_id),
            Filter(("target", "data", "last_modified"), "max", self.timestamp),
        ]


def _divide(items: Iterable[_Item], size_of: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """Yield items in lists of `_PAGE_SIZE` at most, each of which ends where its items reach `_PAGE_BYTES`."""
    page: list[_Item] = []
    size = 0
    for item in items:
        page.append(item)
        size += size_of(item)
        if len(page) == _PAGE_SIZE or size >= _PAGE_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page
