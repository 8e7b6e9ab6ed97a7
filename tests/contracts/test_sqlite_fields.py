"""SQLite reads fields of documents itself where that is exact, without a call of Python for each row."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Text, column, create_engine, event, literal, select, table
from sqlalchemy.sql.elements import ColumnElement

from backends.codec import dumps
from backends.storage import MISSING
from backends.storage.sqlite_dialect import SqliteDialect
from backends.storage.sqlite_functions import register
from backends.storage.values import matches_pattern, order_key

DIALECT = SqliteDialect()
NAMES = st.text(st.sampled_from("ab.$[]0#-é '"), min_size=1, max_size=4)
CHARACTERS = st.one_of(
    st.characters(codec="utf-8", exclude_characters="\0"),
    st.sampled_from('aAbBiIkK%_*\\"/ \x01\x1f\x7f\u0130\u0307\u212a'),
)
TEXTS = st.text(CHARACTERS, max_size=12)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 1),
    st.integers(),
    st.integers(-(2**65), 2**65),
    st.sampled_from([10**310, -(10**4_000)]),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
    st.lists(st.integers(), max_size=2),
    st.just(MISSING),
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Give a database without tables."""
    engine = create_engine("sqlite://")
    event.listen(engine, "connect", lambda connection, _: register(connection))
    yield engine
    engine.dispose()


def _path(names: Sequence[str]) -> list[ColumnElement[str]]:
    return [literal(each) for each in DIALECT.encode_path(names)]


@settings(max_examples=30, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=4), values=st.lists(VALUES, min_size=10, max_size=30))
def test_the_key_of_a_field_is_that_of_the_reference(engine: Engine, names: list[str], values: list[Any]) -> None:
    with engine.connect() as connection:
        for value in [*values, 0, 1, 100, [2**65 + 1], {"a": [2**65 + 1]}, 10**4_000 + 1, [10**310]]:
            document: Any = {"other": 1} if value is MISSING else {names[-1]: value}
            for name in reversed(names[:-1]):
                document = {name: document}
            [key] = DIALECT.sort_key(literal(dumps(document)), _path(names))
            assert connection.execute(select(key)).scalar_one() == order_key(value)


@settings(max_examples=100, deadline=None)
@given(text=TEXTS, pattern=st.lists(st.one_of(st.just("*"), TEXTS), max_size=4).map("".join), as_part=st.booleans())
def test_a_text_is_like_what_the_reference_says(engine: Engine, text: str, pattern: str, *, as_part: bool) -> None:
    if as_part:
        pattern = f"*{text.swapcase()[1:-1]}*"
    form, bound = DIALECT.encode("like", ("f",), pattern)
    values = [literal(value, kind) for kind, value in bound]
    condition = DIALECT.condition(form, literal(dumps({"f": text})), _path(["f"]), values)

    with engine.connect() as connection:
        assert bool(connection.execute(select(condition)).scalar_one()) == matches_pattern(text, pattern)


def test_ordinary_values_are_compared_without_a_call_of_python() -> None:
    calls: Counter[str] = Counter()
    fields = ["some text", "é", 17, 2**60, True, None, 0.5]
    rows = table("rows", column("data", Text))
    [key] = DIALECT.sort_key(rows.c.data, _path(["f"]))

    def replace_functions(connection: sqlite3.Connection, _: Any) -> None:
        for name, arguments in (("document_key", 2), ("document_like", 3)):
            connection.create_function(name, arguments, lambda *_, name=name: calls.update([name]))

    engine = create_engine("sqlite://")
    event.listen(engine, "connect", replace_functions)
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE rows (data TEXT)")
        documents = [*(dumps({"f": value}) for value in fields), "{}"]
        connection.exec_driver_sql("INSERT INTO rows VALUES (?)", [(document,) for document in documents])
        keys = connection.execute(select(key)).scalars().all()
        assert keys == [*map(order_key, fields[:-1]), None, order_key(MISSING)]
        assert calls == {"document_key": 1}

        for pattern, called in (("*absent*", 0), ("*SOME*", 1), ("*\u0130*", 8)):
            calls.clear()
            form, bound = DIALECT.encode("like", ("f",), pattern)
            values = [literal(value, kind) for kind, value in bound]
            connection.execute(select(rows).where(DIALECT.condition(form, rows.c.data, _path(["f"]), values))).all()
            assert calls["document_like"] == called
    engine.dispose()
