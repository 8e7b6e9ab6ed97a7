"""The SQL of a statement, compiled by SQLAlchemy for one driver."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

Parameters = Any
"""The values of a statement by name, or those of a `RowsSql`."""

Content = tuple[str, Sequence[Any]]
"""A text with placeholders, and its arguments."""

_NUMBERS: Final = frozenset((int, bool))
"""The types whose `repr` is a literal of SQL."""
_NAMED_PARAMETER: Final = re.compile(r"%\((\w+)\)s")
_PLACEHOLDER: Final = re.compile(r"%[s%]")


@dataclass(frozen=True)
class Sql:
    """The text of a statement for one driver, with placeholders without names.

    `names` has the names of the arguments, each once; `order` those of the placeholders, where a name may be repeated.
    `constants` are values that belong to the statement; `types` are SQL types by name. `repeats` is whether the text is
    sent often enough to be prepared.
    """

    text: str
    order: Sequence[str]
    constants: Mapping[str, Any]
    types: Mapping[str, str]
    repeats: bool = True

    @cached_property
    def names(self) -> Sequence[str]:
        """Return the names of the arguments."""
        return tuple(dict.fromkeys(self.order))

    def bind(self, values: Parameters) -> Sequence[Any]:
        """Return the arguments of the text; there may be more *values* than it has names."""
        values_by_name = {**values, **self.constants} if self.constants else values
        return [values_by_name[name] for name in self.order]

    def content(self, values: Parameters) -> Content:
        """Return the text and its arguments."""
        return self.text, self.bind(values)

    def execute(self, values: Parameters) -> Content:
        """Return the EXECUTE of the prepared statement and its arguments."""
        marks, arguments = _with_numbers(self._bind_once(values))
        return (f"EXECUTE {self.name} ({', '.join(marks)})" if marks else f"EXECUTE {self.name}"), arguments

    def _bind_once(self, values: Parameters) -> Sequence[Any]:
        values_by_name = {**values, **self.constants} if self.constants else values
        return [values_by_name[name] for name in self.names]

    @cached_property
    def name(self) -> str:
        """Return a name that only this text has, for a prepared statement."""
        return f"kinto_{hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()}"

    @cached_property
    def prepare(self) -> str:
        """Return the PREPARE of the statement; the driver formats it, so that `%%` stays."""
        places, order = {name: f"${number}" for number, name in enumerate(self.names, 1)}, iter(self.order)
        text = _PLACEHOLDER.sub(lambda match: places[next(order)] if match[0] == "%s" else match[0], self.text)
        types = ", ".join(self.types[name] for name in self.names)
        return f"PREPARE {self.name} ({types}) AS {text}" if types else f"PREPARE {self.name} AS {text}"


class RowsSql(Sql):
    """The text of an INSERT, whose values are passed one after the other, those of all its rows."""

    def bind(self, values: Parameters) -> Sequence[Any]:
        """Return the values."""
        arguments: Sequence[Any] = values
        return arguments

    _bind_once = bind

    def content(self, values: Parameters) -> Content:
        """Return the text with the numbers among the values, and the other values."""
        marks, arguments = _with_numbers(values)
        return self._template % tuple(marks), arguments

    @cached_property
    def _template(self) -> str:
        return self.text.replace("%%", "%%%%")


def _with_numbers(arguments: Sequence[Any]) -> tuple[list[str], list[Any]]:
    """Return the marks of arguments in a list of SQL values, those of numbers as literals, and the other arguments.

    psycopg2 looks for several methods of an adapter for each argument, which takes ten times as long as the digits.
    """
    marks = [repr(value) if value.__class__ in _NUMBERS else "%s" for value in arguments]
    return marks, [value for value in arguments if value.__class__ not in _NUMBERS]


def compile_sql(query: Any, dialect: Any, columns: Sequence[str] | None = None, *, repeats: bool = True) -> Sql:
    """Compile a statement for a dialect of SQLAlchemy; an INSERT with its *columns*."""
    compiled = query.compile(dialect=dialect, column_keys=columns, compile_kwargs={"render_postcompile": True})
    text, values = str(compiled), compiled.params
    order = compiled.positiontup if compiled.positional else _NAMED_PARAMETER.findall(text)
    unbound = {name for name, bind in compiled.binds.items() if bind.required}
    types = {name: bind.type.compile(dialect).partition(" COLLATE ")[0] for name, bind in compiled.binds.items()}
    constants = {name: values[name] for name in order if name not in unbound}
    return Sql(_NAMED_PARAMETER.sub("%s", text), tuple(order), constants, types, repeats)


def compile_expanding(query: Any, dialect: Any, lengths: Mapping[str, int]) -> Sql:
    """Compile a statement that binds lists of these lengths; their values are named `<name>_1`, `<name>_2`."""
    compiled = query.compile(dialect=dialect)
    lists = {name: [None] * length for name, length in lengths.items()}
    state = compiled.construct_expanded_state({**compiled.params, **lists})
    order = state.positiontup or _NAMED_PARAMETER.findall(state.statement)
    unbound = {name for name, bind in compiled.binds.items() if bind.required}
    unbound.update(name for names in state.parameter_expansion.values() for name in names)
    constants = {name: state.parameters[name] for name in order if name not in unbound}
    return Sql(_NAMED_PARAMETER.sub("%s", state.statement), tuple(order), constants, {}, repeats=False)
