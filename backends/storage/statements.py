"""Statements whose SQL is made once by SQLAlchemy's compiler and then sent as text.

Building and compiling costs many times what sending costs, so nothing builds SQL per request for what has a shape. The
text goes to the driver through `Connection.exec_driver_sql`, with the connection's events, errors and log. The dialect
of PostgreSQL prepares it (`backends.storage.postgresql`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from sqlalchemy import Connection, Executable

PREPARABLE: Final = "preparable"
"""The execution option that hands the `Sql` of a statement to listeners of `do_execute`."""

_PLACEHOLDER: Final = re.compile(r"%(?:\((\w+)\)s|%)")


@dataclass(frozen=True)
class Sql:
    """The text of a statement for one driver.

    `order` has the names of the values in the order of their placeholders where the driver binds by position, None
    where it binds by name. `constants` are values that belong to the statement; `types` are SQL types by name.
    """

    text: str
    order: Sequence[str] | None
    constants: Mapping[str, Any]
    types: Mapping[str, str]

    def bind(self, values: Mapping[str, Any]) -> Any:
        """Return the values as the driver takes them; there may be more than the statement has."""
        if self.order is None:
            return {**values, **self.constants} if self.constants else values
        named = {**values, **self.constants} if self.constants else values
        return tuple([named[name] for name in self.order])

    @cached_property
    def name(self) -> str:
        """Return a name that only this text has, for a prepared statement."""
        return f"kinto_{hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()}"

    @cached_property
    def prepare(self) -> str:
        """Return the PREPARE of the statement."""
        places = {name: f"${number}" for number, name in enumerate(self._names, 1)}
        text = _PLACEHOLDER.sub(lambda match: places[match[1]] if match[1] else "%", self.text)
        types = ", ".join(self.types[name] for name in self._names)
        return f"PREPARE {self.name} ({types}) AS {text}" if types else f"PREPARE {self.name} AS {text}"

    @cached_property
    def execute(self) -> str:
        """Return the EXECUTE of the prepared statement, with the same placeholders."""
        values = ", ".join(f"%({name})s" for name in self._names)
        return f"EXECUTE {self.name} ({values})" if values else f"EXECUTE {self.name}"

    @cached_property
    def _names(self) -> Sequence[str]:
        return tuple(dict.fromkeys(name for name in _PLACEHOLDER.findall(self.text) if name))


class Statement:
    """One statement: its SQL is compiled at its first use and kept."""

    def __init__(self, query: Executable) -> None:
        self._query = query
        self._sql: Sql | None = None

    def rows(
        self, connection: Connection, values: Mapping[str, Any], options: Mapping[str, Any] | None = None
    ) -> Sequence[tuple[Any, ...]]:
        """Execute the statement with *values* by name and execution *options*, and return its rows."""
        sql = self._sql = self._sql or compile_sql(self._query, connection.dialect)
        return send(connection, sql, sql.bind(values), {PREPARABLE: sql, **(options or {})})


def compile_sql(query: Any, dialect: Any, columns: Sequence[str] | None = None) -> Sql:
    """Compile a statement for a dialect of SQLAlchemy; an INSERT with its *columns*."""
    compiled = query.compile(dialect=dialect, column_keys=columns)
    binds = compiled.binds
    constants = {name: bind.value for name, bind in binds.items() if not bind.required}
    types = {name: bind.type.compile(dialect).partition(" COLLATE ")[0] for name, bind in binds.items()}
    return Sql(str(compiled), tuple(compiled.positiontup) if compiled.positional else None, constants, types)


def send(
    connection: Connection, sql: Sql, parameters: Any, options: Mapping[str, Any] | None = None
) -> Sequence[tuple[Any, ...]]:
    """Execute SQL with parameters as `Sql.bind` returns them; return its rows, none if it returns nothing."""
    result = connection.exec_driver_sql(sql.text, parameters, execution_options=options)
    rows: Sequence[tuple[Any, ...]] = result.cursor.fetchall() if result.returns_rows else ()
    result.close()
    return rows
