"""The base of the index builder and of automatic indexes: sessions, transactions, the lists that have some indexes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from sqlalchemy import select
from sqlalchemy.sql.elements import ColumnElement

from backends.storage.sessions import Session
from backends.storage.tables import indexes
from backends.storage.writes import Writer


class IndexMaintenance:
    """Work on indexes beside requests: *read_session* yields a session, *transaction* a writing transaction."""

    def __init__(
        self,
        read_session: Callable[[], AbstractContextManager[Session]],
        transaction: Callable[[], AbstractContextManager[Writer]],
    ) -> None:
        self._read_session = read_session
        self._transaction = transaction

    def _lists(self, *conditions: ColumnElement[bool]) -> Sequence[str]:
        """Return the lists with an index that meets the conditions, in order."""
        matching = select(indexes.c.list).where(*conditions).distinct().order_by(indexes.c.list)
        with self._read_session() as session:
            return list(session.connection.execute(matching).scalars())
