"""Delete the oldest objects of a list that match some filters, without tombstones: in one database dialect.

An index has the objects of a list in the order of their timestamps, so that the oldest are found without a sort. They
are looked at one after the other where a filter is on a field of the documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Select, Table, Text, bindparam, delete, literal_column, select, update

from backends.storage import Filter, Page, bucket_of
from backends.storage.dialect import Dialect
from backends.storage.filters import QueryShape, conditions, describe
from backends.storage.sessions import Session
from backends.storage.statements import Statement
from backends.storage.tables import clocks, documents, grants

_BUCKET: Final = bindparam("of_bucket", type_=Text)
_LIST: Final = bindparam("of_list", type_=Text)


class Trimming:
    """The statements that find and delete old objects of a list."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._oldest = lru_cache(maxsize=8)(lambda shape: Statement(self._build_oldest(shape)))
        self._deletions = [Statement(self._build_deletion(table)) for table in (documents, grants)]
        fewer = dialect.greatest(
            clocks.c.count - bindparam("number", type_=BigInteger), literal_column("0", BigInteger)
        )
        in_list = clocks.c.bucket == _BUCKET, clocks.c.list == _LIST
        self._count = Statement(update(clocks).where(*in_list).values(count=fewer))

    def run(self, session: Session, name: str, filters: Sequence[Filter], keep: int, threshold: int) -> int:
        """Delete all but the newest *keep* matching objects if more than *threshold* are older; return their number.

        The clock of the list *name* is locked.
        """
        shape, values = describe(Page(name, tuple(filters)), self._dialect)
        values |= {"of_bucket": bucket_of(name), "of_list": name}
        rows = self._oldest(shape).rows(session, {**values, "keep": keep})
        if len(rows) <= threshold:
            return 0
        values |= self._dialect.bind_rows("old", ("value",), rows)
        for deletion in self._deletions:
            deletion.later(session, values)
        self._count.later(session, {**values, "number": len(rows)})
        return len(rows)

    def _build_oldest(self, shape: QueryShape) -> Select[Any]:
        matching = conditions(shape, documents, self._dialect)
        return (
            select(documents.c.uri)
            .where(documents.c.bucket == _BUCKET, documents.c.list == _LIST, *matching)
            .order_by(documents.c.last_modified.desc(), documents.c.uri.desc())
            .offset(bindparam("keep", type_=BigInteger))
        )

    def _build_deletion(self, table: Table) -> Any:
        old = self._dialect.bound_rows("old", [("value", Text())])
        return delete(table).where(table.c.bucket == _BUCKET, self._dialect.row_in([table.c.uri], old))
