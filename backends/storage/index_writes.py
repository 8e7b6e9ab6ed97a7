"""The indexes of lists in a writing transaction: which there are, what changes them, and the entries of objects.

The entry of an object is its key in an index with keys, its terms in the others.

Theory of operation:

- A transaction locks the clock of a list before it reads the indexes of the list, and every change of an index is made
  under that lock too. So whoever writes an object knows all indexes of its list, those that are being built included,
  and gives the object its entries in the same statement that writes it. Indexes that were read with a page of a list
  before the list was locked are read again; without the lock, `of` and all changes raise Unlocked.
- An index is built in steps: each locks the clock, gives some objects their entries in the order of their URIs, and
  notes the last one (`done`). Objects that are written meanwhile have their entries from their writers, before or after
  the step that reaches them. After the last step every living object has its entry, and the index is `ready`.
- `Writer.read` reads the indexes of the locked lists with everything else: no statement of its own. Only a transaction
  that writes to a list that it locked later reads them by a statement.
- The indexes of a derived list are read with everything else too, before the list is locked, if another list of the
  bucket is. Whoever creates one locks all lists of the bucket (`backends.storage.automatic_indexes`), so a writer
  knows all of them. Their states may have changed meanwhile (`read_early`): before one is changed they are read again.
- Entries that a former index left in its column are not removed: they have another prefix. A write of an object
  replaces all its entries, and a tombstone has none.
- Where the list has no index with keys, or none with terms, their columns are not written at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from backends.codec import loads
from backends.storage.branches import bind_values, read_index
from backends.storage.changes import Appended, Change
from backends.storage.dialect import Dialect
from backends.storage.errors import NotUnique
from backends.storage.index_keys import end_of, keys_of, new_prefix
from backends.storage.index_statements import IndexStatements
from backends.storage.index_terms import terms_of
from backends.storage.indexes import (
    AUTOMATIC,
    BUILDING,
    BUILDING_LONG,
    DECLARED,
    KEY_SLOTS,
    LONG,
    READY,
    REFUSED,
    UNIQUE,
    Index,
    IndexDefinition,
)
from backends.storage.keys import bucket_of, is_inside
from backends.storage.sessions import Session
from backends.storage.tables import ENTRIES, KEYS, TERMS

BUILT_AT_ONCE: Final = 2_000
"""The greatest number of objects for which an index is built by the request that declares it."""

MAX_BYTES: Final = 1 << 25
"""The size of the objects that are read to build an index, at which a step ends; one object is read in any case."""

Entries = Mapping[str, bytes | str | None]
"""What indexes have of one object, by column, as it is bound."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the index builder: the indexes that it built, as they are after it, and the number of objects."""

    indexes: tuple[Index, ...]
    objects: int


class IndexWrites:
    """The indexes of the lists of one writing transaction in a session.

    *expect_locked* raises Unlocked for lists that the transaction neither locked nor started.
    """

    def __init__(
        self,
        session: Session,
        dialect: Dialect,
        statements: IndexStatements,
        expect_locked: Callable[[Collection[str]], None],
    ) -> None:
        self._session = session
        self._dialect = dialect
        self._statements = statements
        self._expect_locked = expect_locked
        self._by_list: dict[str, tuple[Index, ...]] = {}
        self.read_early: set[str] = set()

    def unknown(self, lists: Iterable[str], bucket: str) -> tuple[str, ...]:
        """Return the lists in a bucket whose indexes are not known."""
        return tuple(sorted(name for name in lists if name not in self._by_list and bucket_of(name) == bucket))

    def add(self, lists: Iterable[str], indexes: Iterable[Index]) -> None:
        """Note the *indexes* that were read of locked *lists*, and others below locked objects."""
        for name in lists:
            self._by_list[name] = ()
        for index in indexes:
            others = (other for other in self._by_list.get(index.list, ()) if other.slot != index.slot)
            self._by_list[index.list] = (*others, index)

    def of(self, name: str) -> tuple[Index, ...]:
        """Return the indexes of a locked list. Raises Unlocked."""
        if name not in self._by_list:
            self._load((name,))
        return self._by_list[name]

    def _load(self, lists: Collection[str]) -> None:
        self._expect_locked(lists)
        for bucket in sorted({bucket_of(name) for name in lists if name not in self._by_list}):
            names = self.unknown(lists, bucket)
            parameters = {"bucket": bucket, **bind_values(self._dialect, "indexes", names)}
            self.add(names, map(read_index, self._statements.select.rows(self._session, parameters)))

    def start(self, lists: Iterable[str]) -> None:
        """Note that lists are new and have no indexes."""
        self.add(lists, ())

    def declare(self, name: str, definitions: Sequence[IndexDefinition], *, starts: bool) -> None:
        """Make the declared indexes of a locked list those of *definitions*; a list that *starts* has no objects.

        An automatic index with such a definition becomes a declared one; others make room where there are too many.
        The new ones are built at once where the list is small.
        """
        former = self.of(name)
        remaining = [index for index in former if index.definition in definitions]
        automatic = [index for index in former if index.origin == AUTOMATIC and index not in remaining]
        remaining += automatic[: len(KEY_SLOTS) - sum(definition.is_keyed for definition in definitions)]
        for index in former:
            if index not in remaining:
                self.drop(index)
        remaining = [
            self._change(index, origin=DECLARED)
            if index.definition in definitions and index.origin != DECLARED
            else index
            for index in remaining
        ]
        existing = {index.definition for index in remaining}
        missing = [definition for definition in definitions if definition not in existing]
        self._by_list[name] = tuple(remaining)
        for definition in missing:
            self.create(name, definition, DECLARED, READY if starts else BUILDING)
        if missing and not starts:
            self.build(name, BUILT_AT_ONCE, only_whole=True)

    def wants_builder(self, lists: Iterable[str]) -> bool:
        """Return whether an index of some lists is left to the index builder."""
        return any(index.is_building for name in lists for index in self.of(name))

    def create(self, name: str, definition: IndexDefinition, origin: str, state: str = BUILDING) -> bool:
        """Create an index of a locked list; return whether there was room for it."""
        used_slots = {index.slot for index in self.of(name)}
        slot = next((slot for slot in definition.slots if slot not in used_slots), None)
        if slot is None:
            return False
        index = Index(name, slot, new_prefix(), definition, origin, state, since=_now_ms())
        prefix, text = index.prefix.hex(), definition.text()
        row = (bucket_of(name), name, slot, prefix, text, origin, state, "", index.since)
        self._statements.insert.later(self._session, [row])
        self._by_list[name] = (*self._by_list[name], index)
        return True

    def build(self, name: str, many: int, *, only_whole: bool = False) -> Step:
        """Give the next *many* objects of a locked list their entries; with *only_whole* all objects or none.

        Fewer, if they reach `MAX_BYTES` before.
        """
        unfinished = [index for index in self.of(name) if index.is_building]
        if not unfinished:
            return Step((), 0)
        bucket, done = bucket_of(name), min(index.done for index in unfinished)
        values = {"of_bucket": bucket, "first": done or f"{name}/", "last": f"{name}0", "many": many + 1}
        following = self._statements.objects.rows(self._session, {**values, "max_bytes": MAX_BYTES})
        rows = [row for row in following[:many] if row[2] is not None]
        is_last = len(rows) == len(following)
        if only_whole and not is_last:
            return Step(tuple(unfinished), 0)
        batch = [(uri, loads(text)) for uri, in_list, text in rows if in_list == name]
        self._mark_cut(name, self._set_entries(name, batch))
        slots = {index.slot for index in unfinished}
        for index in [index for index in self.of(name) if index.slot in slots]:
            if is_last:
                self._finish(index)
            else:
                self._change(index, done=rows[-1][0])
        return Step(tuple(index for index in self.of(name) if index.slot in slots), len(batch))

    def _set_entries(self, name: str, objects: Sequence[tuple[str, Any]]) -> list[Index]:
        """Set the entries of objects of a list, pairs of URI and document; return the indexes that have cut keys."""
        if not objects:
            return []
        rows, cut_indexes = [], []
        for uri, document in objects:
            entries, more = self._entries_of(name, document)
            rows.append((uri, *(entries.get(column) for column in ENTRIES)))
            cut_indexes += more
        values = {
            **self._dialect.bind_rows("entries", ("uri", *ENTRIES), rows),
            "of_bucket": bucket_of(name),
            "first": objects[0][0],
            "last": objects[-1][0],
        }
        self._statements.set_entries.later(self._session, values)
        return cut_indexes

    def _entries_of(self, name: str, document: Any) -> tuple[Entries, list[Index]]:
        """Return the entries of an object of a list in all its indexes, and the indexes in which its key was cut."""
        indexes = self.of(name)
        keys, cut_indexes = keys_of([index for index in indexes if index.definition.is_keyed], document)
        terms = terms_of([index for index in indexes if not index.definition.is_keyed], document)
        return {**keys, TERMS: self._dialect.encode_terms(terms)}, cut_indexes

    def _finish(self, index: Index) -> None:
        """End the building of an index; a unique one is refused if two objects have the same values."""
        state, done = (LONG if index.state == BUILDING_LONG else READY), ""
        if index.definition.kind == UNIQUE:
            values = {"of_bucket": bucket_of(index.list), "low": index.prefix, "high": end_of(index.prefix)}
            duplicates = self._statements.duplicates[index.slot].rows(self._session, values)
            if duplicates:
                state, done = REFUSED, " ".join(duplicates[0])
        self._change(index, state=state, done=done)

    def _mark_cut(self, name: str, indexes: Sequence[Index]) -> None:
        """Note that a key was cut in *indexes*, which do not sort from then on."""
        if indexes and name in self.read_early:
            self.read_early.remove(name)
            del self._by_list[name]
        slots = {index.slot for index in indexes}
        for index in [index for index in self.of(name) if index.slot in slots]:
            if index.state in (READY, BUILDING):
                self._change(index, state=LONG if index.state == READY else BUILDING_LONG)

    def retry(self, name: str) -> None:
        """Build the refused indexes of a locked list again."""
        for index in self.of(name):
            if index.state == REFUSED:
                self._change(index, state=BUILDING, done="")

    def rebuild(self, name: str) -> None:
        """Have all indexes of a locked list built again: keys are no longer those of the objects."""
        for index in self.of(name):
            self._change(index, state=BUILDING, done="")

    def touch(self, index: Index) -> None:
        """Note that an automatic index is in use."""
        self._change(index, since=_now_ms())

    def _change(self, index: Index, **changes: Any) -> Index:
        new_index = replace(index, **changes)
        columns = {name: getattr(new_index, name) for name in ("origin", "state", "done", "since")}
        values = {f"new_{name}": value for name, value in columns.items()}
        self._statements.change.later(self._session, {**_place(index), **values})
        self.add((), (new_index,))
        return new_index

    def drop(self, index: Index) -> None:
        """Delete an index of a locked list."""
        self._statements.delete.later(self._session, _place(index))
        self._by_list[index.list] = tuple(other for other in self.of(index.list) if other.slot != index.slot)

    def delete_below(self, uris: Sequence[str]) -> None:
        """Delete the indexes of all lists below deleted objects, all of which were read."""
        names = [name for name, indexes in self._by_list.items() if indexes and is_inside(name, uris)]
        for uri in uris:
            if any(name.startswith(f"{uri}/") for name in names):
                values = {"of_bucket": bucket_of(uri), "first": f"{uri}/", "last": f"{uri}0"}
                self._statements.delete_below.later(self._session, values)
        for name in names:
            self._by_list[name] = ()

    def entries(self, changes: Sequence[Change | Appended]) -> tuple[Sequence[str], Mapping[str, Entries]]:
        """Return the columns of the indexes that the lists of changed objects have, and their values by URI.

        Raises NotUnique where another object has the same values in a unique index.
        """
        lists = {change.list for change in changes}
        self._load(lists)
        indexes = [index for name in lists for index in self._by_list[name]]
        if not indexes:
            return (), {}
        has_keys, has_terms = (any(index.definition.is_keyed == keyed for index in indexes) for keyed in (True, False))
        columns = (*(KEYS if has_keys else ()), *((TERMS,) if has_terms else ()))
        entries: dict[str, Entries] = {}
        for change in changes:
            own: Entries = {}
            if not change.stored.deleted and self._by_list[change.list]:
                own, cut_indexes = self._entries_of(change.list, change.stored.data())
                self._mark_cut(change.list, cut_indexes)
            entries[change.stored.uri] = {column: own.get(column) for column in columns}
        for name in sorted(lists):
            for index in self._by_list[name]:
                if index.definition.kind == UNIQUE and index.state != REFUSED:
                    uris = _in_list(changes, name)
                    self._expect_unique(index, {uri: entries[uri][f"k{index.slot}"] for uri in uris})
        return columns, entries

    def _expect_unique(self, index: Index, keys: Mapping[str, Any]) -> None:
        """Raise NotUnique if two of the objects, or one of them and another one, have the same key.

        An object whose key is being built has none; the builder finds it.
        """
        owners: dict[bytes, str] = {}
        for uri, key in keys.items():
            if key is not None and owners.setdefault(key, uri) != uri:
                raise NotUnique(index.definition.names(), owners[key])
        if not owners:
            return
        values = self._dialect.bind_rows("keys", ("value",), [(key,) for key in owners])
        rows = self._statements.same_values[index.slot].rows(
            self._session, {"of_bucket": bucket_of(index.list), **values}
        )
        others = sorted(uri for uri, _ in rows if uri not in keys)
        if others:
            raise NotUnique(index.definition.names(), others[0])


def _in_list(changes: Iterable[Change | Appended], name: str) -> list[str]:
    return [change.stored.uri for change in changes if change.list == name]


def _place(index: Index) -> dict[str, Any]:
    return {"of_bucket": bucket_of(index.list), "of_list": index.list, "of_slot": index.slot}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
