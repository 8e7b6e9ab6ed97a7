"""Serve the records of a collection as they were at a time (plugins contract, 7.5).

Theory of operation. A record that has not changed since then is as it is now. Any other is as its newest entry of that
time or before shows it. So the snapshot is merged from two sources, in the order of timestamps:

- `_current`: the present records with a timestamp up to that time, page by page.
- `_past`: for each record the newest entry up to that time, unless it is a deletion. The history is read once, page
  by page, and one line is kept of each entry: its record, its place in the history, the age of the record, its own id.
  The lines are sorted by record, so that the newest entry of each is found, then by age (`sort_lines`, in files if they
  are many). Then the entries themselves are read, page by page.

A record that has not changed is in both sources with one timestamp, and is written once: so it is not missed if it
changes while the snapshot is read. The two differ where a change left no entry (P-HIST-20); then the present record
counts. A record without entries is missed if it changes meanwhile.

The memory that a snapshot takes does not depend on the number of records and entries: the response is written while
they are read.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from flask import Response

from blueprints.plugins import Filter, Json, Page, Selection, Service, Stored
from blueprints.plugins.history.sorting import sort_lines

_PAGE_SIZE: Final = 500
_LATEST: Final = 253_402_300_799_999
"""The greatest timestamp in ms: it turns timestamps into numbers that sort the newest first."""


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
        parts = self._parts()
        # The history is read before the status is sent, so that an error of the storage is an error of the API.
        first = next(parts)
        return Response(chain([first], parts), content_type="application/json")

    def _parts(self) -> Iterator[str]:
        versions = heapq.merge(self._current(), self._past())
        records = (next(group) for _, group in groupby(versions, lambda version: version[:2]))
        before = '{"data":['
        while page := list(islice(records, _PAGE_SIZE)):
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
        """Yield the objects of a list that match, the newest first."""
        after: tuple[Json, ...] | None = None
        while True:
            page = Page(list_uri, tuple(filters), after=after, limit=_PAGE_SIZE, unrestricted=True)
            objects = self.service.storage.read(Selection(self.bucket, page=page)).page
            yield objects
            if len(objects) < _PAGE_SIZE:
                return
            after = (objects[-1].timestamp, objects[-1].uri)

    def _current(self) -> Iterator[_Version]:
        """Yield the present records that are as old as the snapshot."""
        for page in self._pages(self._records, [Filter(("last_modified",), "max", self.timestamp)]):
            yield from (_Version(_LATEST - stored.timestamp, stored.id, stored.text) for stored in page)

    def _past(self) -> Iterator[_Version]:
        """Yield the records of the newest entries, but those that the present records contradict."""
        lines = iter(sort_lines(self._newest(sort_lines(self._lines()))))
        while batch := [line.split() for line in islice(lines, _PAGE_SIZE)]:
            entries = [f"{self._history}/{entry_id}" for _, _, entry_id in batch]
            records = [f"{self._records}/{unquote(record_id)}" for _, record_id, _ in batch]
            objects = self.service.storage.read(Selection(self.bucket, targets=(*entries, *records))).objects
            for (age, record_id, _), entry, record in zip(batch, entries, records, strict=True):
                present = objects.get(record)
                outdated = present is not None and _LATEST - int(age) < present.timestamp <= self.timestamp
                if entry in objects and not outdated:
                    data = objects[entry].data()["target"]["data"]
                    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
                    yield _Version(int(age), unquote(record_id), text)

    def _lines(self) -> Iterator[str]:
        """Yield a line for each entry of a record: the record, the place of the entry, and the entry."""
        filters = [*self._filters("record"), *self._since_deletion()]
        for number, entry in enumerate(chain.from_iterable(self._pages(self._history, filters))):
            document = entry.data()
            data, action = document["target"]["data"], document["action"]
            record_id, age = quote(data["id"], safe=""), _LATEST - data["last_modified"]
            yield f"{record_id} {number:015} {age:015} {action} {entry.id}\n"

    def _newest(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield a line for the newest entry of each record, unless it is a deletion: age, record and entry."""
        for _, group in groupby(map(str.split, lines), lambda parts: parts[0]):
            record_id, _, age, action, entry_id = next(group)
            if action != "delete":
                yield f"{age} {record_id} {entry_id}\n"

    def _since_deletion(self) -> list[Filter]:
        """Return the filter of entries since the last deletion of the collection, which ended all its records."""
        filters = (*self._filters("collection"), Filter(("action",), "eq", "delete"))
        page = Page(self._history, filters, limit=1, unrestricted=True)
        deletions = self.service.storage.read(Selection(self.bucket, page=page)).page
        return [Filter(("last_modified",), "gt", deletions[0].timestamp)] if deletions else []

    def _filters(self, kind: str) -> list[Filter]:
        """Return the filters of entries about the collection, or its records, up to the time of the snapshot."""
        return [
            Filter(("resource_name",), "eq", kind),
            Filter(("collection_id",), "eq", self.collection_id),
            Filter(("target", "data", "last_modified"), "max", self.timestamp),
        ]
