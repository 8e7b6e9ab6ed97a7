"""Filters, sorting and paging as SQL (core contract, section 6), on every database, judged by `tests.support.model`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Text, bindparam, cast, create_engine, event, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.base import PGDialect

from backends.codec import dumps
from backends.storage import MISSING, OPERATORS, Filter, Order, Page
from backends.storage.dialect import Dialect
from backends.storage.filters import QueryShape, conditions, describe, in_direction, ordering
from backends.storage.postgresql_dialect import PostgresqlDialect
from backends.storage.sqlite_dialect import SqliteDialect
from backends.storage.sqlite_functions import register
from backends.storage.tables import documents
from tests.support import model
from tests.support.examples import examples

LIST = "/buckets/b/collections/c/records"

VALUES: dict[str, Any] = {
    "missing": MISSING,
    "null": None,
    "an empty text": "",
    "a small letter": "a",
    "a capital letter": "B",
    "text with an accent": "é",
    "text beyond the 16-bit characters": "\U0001f600",
    "text at the end of the 16-bit characters": "\uffee",
    "a longer text": "Banana_100%",
    "text in quotes": '"a"',
    "a character that JSON escapes": "\x01",
    "an escaped character within a text": "a\x01\n",
    "digits in a text": "10",
    "true in a text": "true",
    "zero": 0,
    "one": 1,
    "one as a fraction": 1.0,
    "ten": 10,
    "the greatest integer of 64 bits": 2**63 - 1,
    "an integer just beyond 64 bits": 2**63,
    "a negative fraction": -1.5,
    "a tenth": 0.1,
    "an integer that a double cannot hold": 2**53 + 1,
    "an integer beyond 64 bits": 2**65,
    "a double beyond 64 bits": 1e23,
    "a small double": 5e-324,
    "a negative integer beyond 64 bits": -(2**65),
    "false": False,
    "true": True,
    "an empty array": [],
    "an array of a number": [1],
    "an array of a text and null": ["a", None],
    "an array in an array": [[1, 2], {"a": 1}],
    "an array with everything twice": ["a", "a", 1, 1],
    "an empty object": {},
    "an object": {"a": 1},
    "an object with a longer name": {"aa": 0},
    "an object with two names": {"a": [1], "b": None},
}


class Place:
    """A database with the table of documents and what a test put into it."""

    def __init__(self, engine: Engine, dialect: Dialect) -> None:
        self.engine, self.dialect = engine, dialect
        self.there = ""
        self.compiled: dict[Any, Any] = {}
        self.shapes: set[QueryShape] = set()
        documents.create(engine)

    def put(self, *contents: dict[str, Any], tombstones: int = 0) -> None:
        """Have there new objects, then *tombstones* of others, and nothing else."""
        content = repr((contents, tombstones))  # 1, 1.0 and True are equal, but not the same here
        if content == self.there:
            return
        self.there = content
        living = [
            {**attributes, "id": f"r{place:03}", "last_modified": 1000 + place}
            for place, attributes in enumerate(contents)
        ]
        dead = [{"id": f"t{place}", "last_modified": 2000 + place, "deleted": True} for place in range(tombstones)]
        text = bindparam("text", type_=Text)
        json = cast(text, JSONB) if self.engine.dialect.name == "postgresql" else text
        rows = [
            {
                "bucket": "/buckets/b",
                "uri": f"{LIST}/{document['id']}",
                "list": LIST,
                "born": 1,
                "last_modified": document["last_modified"],
                "deleted": "deleted" in document,
                "text": dumps(document),
            }
            for document in living + dead
        ]
        with self.engine.begin() as connection:
            connection.execute(documents.delete())
            for row in rows:
                connection.execute(documents.insert().values(data=json), row)
        self.living, self.all = living, living + dead

    def find(self, page: Page) -> list[str]:
        """Return the ids of a page."""
        shape, values = describe(page, self.dialect)
        statement = (
            select(documents.c.uri)
            .where(documents.c.bucket == "/buckets/b", documents.c.list == page.list)
            .where(*conditions(shape, documents, self.dialect))
            .order_by(*(in_direction(key, descending=way) for key, way in ordering(shape, documents, self.dialect)))
            .limit(page.limit or 10_000)
        )
        self.shapes.add(shape)
        with self.engine.connect() as connection:
            connection = connection.execution_options(compiled_cache=self.compiled)
            return [uri.rpartition("/")[2] for uri in connection.execute(statement, values).scalars()]

    def expected(self, page: Page) -> list[str]:
        """Return the ids that the model finds."""
        there = self.all if page.tombstones else self.living
        matching = [document for document in there if all(model.holds(document, each) for each in page.filters)]
        return [document["id"] for document in model.arrange(matching, page.order)]

    def pages(self, page: Page) -> Iterator[list[str]]:
        """Yield page after page, each after the last object of the one before."""
        by_id = {document["id"]: document for document in self.all}
        while ids := self.find(page):
            yield ids
            last = by_id[ids[-1]]
            values = [model.field(last, key.path) for key in page.order]
            page = replace(page, after=(*values, f"{LIST}/{ids[-1]}"))


def teach(connection: Any, _: Any) -> None:
    register(connection)


def open_postgresql(url: str) -> Engine:
    return create_engine("postgresql+psycopg2" + url[url.index(":") :])


@pytest.fixture(scope="module", params=["SQLite", "PostgreSQL"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Give each database in turn."""
    if request.param == "SQLite":
        dialect: Dialect = SqliteDialect()
        engine = create_engine("sqlite://")
        event.listen(engine, "connect", teach)
    else:
        dialect = PostgresqlDialect()
        engine = open_postgresql(request.getfixturevalue("postgresql_url"))
    documents.drop(engine, checkfirst=True)
    yield Place(engine, dialect)
    if engine.dialect.name == "postgresql":
        # Without the other tables too: where one is missing, those who come next would think that all are there.
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()


@pytest.fixture
def foreign_place(postgresql_url: str) -> Iterator[Place]:
    """Give a PostgreSQL database whose order of text is that of a language."""
    name = urlsplit(postgresql_url).path.lstrip("/")
    connection = psycopg2.connect(postgresql_url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}_en TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'")
            engine = open_postgresql(postgresql_url.replace(f"/{name}", f"/{name}_en"))
            yield Place(engine, PostgresqlDialect())
            engine.dispose()
            cursor.execute(f"DROP DATABASE {name}_en")
    except psycopg2.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL was built without ICU")
    finally:
        connection.close()


@pytest.fixture
def mixed(place: Place) -> Place:
    """Give a database whose objects have each of the values in the field `f`, and some tombstones."""
    place.put(*({} if value is MISSING else {"f": value} for value in VALUES.values()), tombstones=2)
    return place


def operand(operator: str, value: Any) -> Any:
    """Return what a filter with this operator and value holds."""
    return {
        "has": bool(value),
        "like": f"*{value}*",
        "in": (value, "zzz"),
        "exclude": (value, "zzz"),
        "contains": value if isinstance(value, list) else [value],
        "contains_any": [*value, "zzz"] if isinstance(value, list) else [value, "zzz"],
    }.get(operator, value)


def agree(place: Place, page: Page) -> None:
    assert place.find(page) == place.expected(page)


def by(*names: str) -> tuple[Order, ...]:
    return tuple(Order(tuple(name.lstrip("-").split(".")), name.startswith("-")) for name in names)


class TestOperators:
    """C-LIST-7, C-LIST-9 to C-LIST-11, C-LIST-14 to C-LIST-19, C-LIST-35 to C-LIST-39."""

    @pytest.mark.parametrize("operator", OPERATORS)
    def test_operator_finds_the_objects_that_the_contract_names(
        self, mixed: Place, operator: str, subtests: pytest.Subtests
    ) -> None:
        for name, value in list(VALUES.items())[1:]:
            with subtests.test(name):
                agree(mixed, Page(LIST, filters=(Filter(("f",), operator, operand(operator, value)),)))

    @pytest.mark.parametrize("operator", OPERATORS)
    def test_operator_takes_an_unknown_field_for_missing(self, mixed: Place, operator: str) -> None:
        agree(mixed, Page(LIST, filters=(Filter(("unknown",), operator, operand(operator, "a")),)))

    @pytest.mark.parametrize(
        ("operator", "none"), [("in", ()), ("exclude", ()), ("contains", []), ("contains_any", [])]
    )
    def test_operator_takes_no_values_at_all(self, mixed: Place, operator: str, none: Any) -> None:
        agree(mixed, Page(LIST, filters=(Filter(("f",), operator, none),)))

    @pytest.mark.parametrize("operator", ["in", "exclude", "contains", "contains_any"])
    def test_operator_takes_many_values(self, place: Place, operator: str) -> None:
        """PostgreSQL looks them up in a hash table. 1 and 1.0 are one value, parts of inner values are none."""
        many = [*range(30), 1.0, None, "a", [1, 2], {"a": 1, "b": 2}, True]
        arrays = [
            many,
            many[1:],
            many[::-1] * 2,
            [*many, "x"],
            ["x", 31],
            ["x", 1.0],
            [None],
            [[1]],
            [{"a": 1}],
            [many],
            [],
        ]
        place.put(*({"f": value} for value in (*arrays, *many, "x", {"1": 1}, [1, 2, 3])), {})

        for values in (many, [*many, 1, "z"], ["x", *range(100, 120)]):
            agree(
                place,
                Page(LIST, (Filter(("f",), operator, tuple(values) if operator in ("in", "exclude") else values),)),
            )

    @pytest.mark.parametrize(
        ("pattern", "matching_ids"),
        [
            pytest.param("*AN*", ["Banana", "an_n", "a%n\\an"], id="whatever the case"),
            pytest.param("ban", [], id="the whole text"),
            pytest.param("ban*", ["Banana"], id="a beginning"),
            pytest.param("*a", ["Banana"], id="an end"),
            pytest.param("b*n*n*a", ["Banana"], id="parts in order"),
            pytest.param("b*a*a*a*a", [], id="no character twice"),
            pytest.param("a_n", [], id="an underline is no wildcard"),
            pytest.param("*_*", ["an_n"], id="an underline is itself"),
            pytest.param("a%n", [], id="a percent sign is no wildcard"),
            pytest.param("*%*", ["a%n\\an"], id="a percent sign is itself"),
            pytest.param("*\\*", ["a%n\\an"], id="a backslash is itself"),
            pytest.param("*!*", ["wow!"], id="an exclamation mark is itself"),
            pytest.param(".*", [".x"], id="a dot is itself"),
            pytest.param("*", ["Banana", "an_n", "a%n\\an", "wow!", ".x", ""], id="every text"),
            pytest.param("", [""], id="the empty text"),
        ],
    )
    def test_like_has_one_wildcard(self, place: Place, pattern: str, matching_ids: list[str]) -> None:  # C-LIST-16
        texts = ["Banana", "an_n", "a%n\\an", "wow!", ".x", ""]
        place.put(*({"s": text} for text in texts), {"s": ["Banana", "%_\\!."]}, {"s": 1}, {})

        ids = place.find(Page(LIST, (Filter(("s",), "like", pattern),), by("last_modified")))

        assert ids == [f"r{texts.index(text):03}" for text in matching_ids]


class TestNames:
    """C-LIST-21, C-LIST-22: how fields are reached."""

    @pytest.mark.parametrize("above", [(), ("o", "o"), ("o", "o", "o", "o")], ids=["at the top", "below", "far below"])
    @pytest.mark.parametrize(
        ("path", "ids"),
        [
            pytest.param(("a", "b"), ["r000"], id="a member of a member"),
            pytest.param(("a.b",), ["r001"], id="a name with a dot as one name"),
            pytest.param(("a", "0"), ["r003"], id="a name of digits, never the place in an array"),
            pytest.param(("a", "-1"), [], id="no place from the end of an array"),
            pytest.param(("a", "b", "0", "c"), [], id="nothing in a text"),
            pytest.param(("a", "0", "1", "2"), [], id="nothing in a number"),
            pytest.param(("\"'\\",), ["r004"], id="a name with quotes"),
            pytest.param(("%s", ":x"), ["r005"], id="names that look like parameters"),
            pytest.param(("",), ["r006"], id="an empty name"),
            pytest.param(("$", "#-1"), [], id="names that look like JSON paths"),
            pytest.param(("a",) * 101, [], id="a path deeper than any document"),
        ],
    )
    def test_a_path_reaches_members_of_objects_only(
        self, place: Place, above: tuple[str, ...], path: tuple[str, ...], ids: list[str]
    ) -> None:
        contents: list[dict[str, Any]] = [
            {"a": {"b": "x"}},
            {"a.b": "x"},
            {"a": ["x", "x"]},
            {"a": {"0": "x"}},
            {"\"'\\": "x"},
            {"%s": {":x": "x"}},
            {"": "x"},
        ]
        for name in above:
            contents = [{name: inner} for inner in contents]
        place.put(*contents)
        path = (*above, *path)

        assert place.find(Page(LIST, (Filter(path, "eq", "x"),))) == ids
        assert place.find(Page(LIST, (Filter(path, "has", True), Filter(path, "like", "x")))) == ids
        assert place.find(Page(LIST, (), (Order(path),)))[: len(ids)] == ids

    def test_the_statement_of_a_deep_name_is_that_of_any_deep_name(self, place: Place) -> None:
        """Else a statement would be as long as the names of all filters have segments."""
        shapes = {
            describe(
                Page(LIST, (Filter(path, "gt", "x"), Filter(path, "in", (1,))), (Order(path),)),
                place.dialect,
            )[0]
            for depth in (4, 5, 50, 101)
            for path in [("a",) * depth]
        }

        assert len(shapes) == 1


class TestColumns:
    """Id and timestamp are columns of the table, and mean the same there (C-LIST-27)."""

    @pytest.mark.parametrize("operator", OPERATORS)
    def test_the_id_compares_as_the_field_of_the_document(
        self, mixed: Place, operator: str, subtests: pytest.Subtests
    ) -> None:
        for value in ["r003", "r", "q/../r003", 3, None]:
            with subtests.test(repr(value)):
                agree(mixed, Page(LIST, (Filter(("id",), operator, operand(operator, value)),), tombstones=True))

    @pytest.mark.parametrize("operator", OPERATORS)
    def test_the_timestamp_compares_as_the_field_of_the_document(
        self, mixed: Place, operator: str, subtests: pytest.Subtests
    ) -> None:
        for value in [1003, 1003.5, 2**64, "1003", True]:
            with subtests.test(repr(value)):
                agree(
                    mixed,
                    Page(LIST, (Filter(("last_modified",), operator, operand(operator, value)),), tombstones=True),
                )


class TestTombstones:
    """C-LIST-30 to C-LIST-33."""

    @pytest.mark.parametrize(
        ("filters", "ids"),
        [
            pytest.param((), ["t1", "t0", "r001", "r000"], id="all are there without a filter"),
            pytest.param((Filter(("v",), "eq", 1),), ["r000"], id="equality does not find them"),
            pytest.param((Filter(("v",), "not", 1),), ["t1", "t0", "r001"], id="not_ finds them"),
            pytest.param((Filter(("v",), "has", False),), ["t1", "t0"], id="has_=false finds them"),
            pytest.param((Filter(("deleted",), "eq", True),), ["t1", "t0"], id="deleted=true finds only them"),
            pytest.param((Filter(("deleted",), "not", True),), ["r001", "r000"], id="not_deleted=true finds the rest"),
        ],
    )
    def test_filters_apply_to_the_three_fields_of_tombstones(
        self, place: Place, filters: tuple[Filter, ...], ids: list[str]
    ) -> None:
        place.put({"v": 1}, {"v": 2}, tombstones=2)

        assert place.find(Page(LIST, filters, tombstones=True)) == ids

    def test_only_the_living_are_found_unless_tombstones_are_wanted(self, mixed: Place) -> None:
        assert len(mixed.find(Page(LIST))) == len(VALUES)


SORTS = {
    "newest first": ("-last_modified",),
    "oldest first": ("last_modified",),
    "by a mixed field": ("f", "-last_modified"),
    "by a mixed field downwards": ("-f", "-last_modified"),
    "by fields in different directions": ("g", "-f", "h.x", "-last_modified"),
    "by fields in one direction": ("g", "h.x", "f", "last_modified"),
    "by id": ("id", "-last_modified"),
    "by id downwards": ("-id", "-last_modified"),
    "by a field that nothing has": ("unknown", "-last_modified"),
    "by ties alone": ("-g",),
    "by one field both ways": ("g", "-g", "-last_modified"),
}


class TestPaging:
    """C-LIST-40, C-LIST-42, C-LIST-53, C-LIST-54."""

    @pytest.fixture
    def tied(self, place: Place) -> Place:
        """Give objects with every value in `f`, and many ties in `g` and `h.x`."""
        place.put(
            *(
                ({} if value is MISSING else {"f": value})
                | ({"g": number % 3} if number % 4 else {})
                | {"h": {"x": [number % 2]} if number % 5 else "no object"}
                for number, value in enumerate(VALUES.values())
            ),
            tombstones=3,
        )
        return place

    @pytest.mark.parametrize("sort", [pytest.param(by(*names), id=name) for name, names in SORTS.items()])
    def test_objects_come_in_the_order_of_their_values(self, tied: Place, sort: tuple[Order, ...]) -> None:
        agree(tied, Page(LIST, order=sort, tombstones=True))

    @pytest.mark.parametrize("sort", [pytest.param(by(*names), id=name) for name, names in SORTS.items()])
    def test_pages_deliver_each_object_once(
        self, tied: Place, sort: tuple[Order, ...], subtests: pytest.Subtests
    ) -> None:
        page = Page(LIST, order=sort, tombstones=True)
        for size in (1, 7, 40):
            with subtests.test(size=size):
                pages = list(tied.pages(replace(page, limit=size)))

                assert [object_id for ids in pages for object_id in ids] == tied.expected(page)
                assert all(len(ids) == size for ids in pages[:-1])

    def test_a_page_after_what_is_no_timestamp_is_refused(self, tied: Place) -> None:
        with pytest.raises(ValueError, match="is no last_modified"):
            tied.find(Page(LIST, after=("x", f"{LIST}/r000")))


def test_text_compares_by_code_point_when_the_database_speaks_a_language(foreign_place: Place) -> None:  # C-LIST-37
    foreign_place.put(*({"f": text} for text in ["a", "B", "b", "é", "z", "Z", "\uffee", "\U0001f600"]))

    for operator in ("eq", "gt", "min", "lt", "max"):
        agree(foreign_place, Page(LIST, (Filter(("f",), operator, "b"),), by("f", "last_modified")))
        agree(foreign_place, Page(LIST, (Filter(("f",), operator, "é"),), by("-f", "-last_modified")))


def test_text_is_sorted_by_code_point_whatever_the_database_speaks() -> None:  # C-LIST-37
    page = Page(LIST, order=by("f"))

    dialect = PGDialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves its dialects untyped
    shape, _ = describe(page, PostgresqlDialect())
    keys = [str(key.compile(dialect=dialect)) for key, _ in ordering(shape, documents, PostgresqlDialect())]

    assert keys[2].endswith('COLLATE "C"')


class TestStatements:
    """Requests that differ in values only are compiled once."""

    @pytest.mark.parametrize("operator", OPERATORS)
    def test_a_statement_is_compiled_once_for_all_fields_and_values(self, mixed: Place, operator: str) -> None:
        pages = [
            Page(LIST, (Filter((name,), operator, operand(operator, value)),), by("f", "-last_modified"), after)
            for name, value, after in [
                ("f", "a", ("a", 1, f"{LIST}/r000")),
                ("g", "b", (1, 2, f"{LIST}/r001")),
                ("deleted", "c", ([True], 3, f"{LIST}/r002")),
            ]
        ]
        mixed.shapes.clear()

        for page in pages:
            mixed.find(page)

        assert len(mixed.shapes) == 1

    def test_the_default_sort_is_served_by_the_index(self, mixed: Place) -> None:
        shape, values = describe(Page(LIST, after=(1003, f"{LIST}/r003"), limit=5), mixed.dialect)
        statement = (
            select(documents.c.uri)
            .where(documents.c.bucket == "/buckets/b", documents.c.list == LIST)
            .where(*conditions(shape, documents, mixed.dialect))
            .order_by(*(in_direction(key, descending=way) for key, way in ordering(shape, documents, mixed.dialect)))
            .params(values)
        )
        with mixed.engine.connect() as connection:
            text = str(statement.compile(connection, compile_kwargs={"literal_binds": True}))
            if connection.dialect.name == "sqlite":
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
            else:
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
                plan = connection.exec_driver_sql(f"EXPLAIN {text}").all()

        assert "documents_in_list" in str(plan)
        assert "sort" not in str(plan).lower().replace("_sort", "")
        assert "TEMP B-TREE" not in str(plan)


class TestTexts:
    """The text of a document, as it leaves the storage."""

    @pytest.mark.parametrize(
        ("private", "public_text"),
        [
            pytest.param((), '{"secret":"x","nested":{"secret":"y"},"long":36893488147419103232}', id="whole"),
            pytest.param(("secret", "other"), '{"nested":{"secret":"y"},"long":36893488147419103232}', id="reduced"),
        ],
    )
    def test_private_fields_stay_in_the_storage(self, place: Place, private: Sequence[str], public_text: str) -> None:
        place.put({"secret": "x", "nested": {"secret": "y"}, "long": 2**65})

        with place.engine.connect() as connection:
            text = connection.execute(select(place.dialect.text(documents.c.data, private))).scalar_one()

        assert isinstance(text, str)
        assert sorted(text.replace(" ", "")) == sorted(f'{public_text[:-1]},"id":"r000","last_modified":1000}}')

    def test_the_greater_of_two_is_returned(self, place: Place) -> None:
        place.put({}, {}, {})
        statement = select(place.dialect.greatest(documents.c.last_modified, bindparam("floor", 1001)))

        with place.engine.connect() as connection:
            assert sorted(connection.execute(statement).scalars()) == [1001, 1001, 1002]


texts = st.text(st.sampled_from('abcABé%_*\\"0 \U0001f600\uffee'), max_size=4)
numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-2, 2))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
inner = st.one_of(st.none(), st.booleans(), numbers, st.text(st.sampled_from("abc"), max_size=2))
names = st.sampled_from(["a", "b", "aa", "0"])
nested = st.recursive(inner, lambda some: st.lists(some, max_size=3) | st.dictionaries(names, some, max_size=3))
anything = scalars | nested
contents = st.dictionaries(st.sampled_from(["f", "g", "o"]), anything | st.dictionaries(names, anything, max_size=2))
paths = st.sampled_from([("f",), ("g",), ("o", "a"), ("o", "0"), ("id",), ("last_modified",)])


@st.composite
def pages(draw: st.DrawFn) -> Page:
    def condition() -> Filter:
        operator = draw(st.sampled_from(OPERATORS))
        value = draw(st.text(st.sampled_from("aAb%_*"), max_size=3) if operator == "like" else anything)
        return Filter(draw(paths), operator, value if operator == "like" else operand(operator, value))

    order = draw(st.lists(st.builds(Order, paths, st.booleans()), min_size=1, max_size=3))
    filters = tuple(condition() for _ in range(draw(st.integers(0, 2))))
    return Page(LIST, filters, tuple(order), limit=draw(st.integers(1, 4)), tombstones=draw(st.booleans()))


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(some=st.lists(contents, max_size=6), page=pages())
def test_pages_agree_with_the_model_whatever_is_stored_and_asked(
    place: Place, some: list[dict[str, Any]], page: Page
) -> None:
    place.put(*some, tombstones=1)

    assert [object_id for ids in place.pages(page) for object_id in ids] == place.expected(page)
