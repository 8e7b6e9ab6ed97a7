"""Pages and counts by indexes are those of the same list without an index, whatever is stored and asked.

Indexes come and go between two pages; `tests.support.model` judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.codec import dumps
from backends.storage import OPERATORS, Change, Filter, IndexDefinition, Move, Order, Page, Selection, Storage, Stored
from backends.storage.index_plans import IndexPlan
from backends.storage.indexes import BUILDING, FIELDS, LONG, READY, UNIQUE
from backends.storage.plans import choose
from tests.contracts.test_filters import operand
from tests.support import model
from tests.support.databases import BASICAUTH, DATABASES, database_url, keep_app
from tests.support.examples import examples

BUCKET = "/buckets/b"
LIST = f"{BUCKET}/collections/c/records"
OTHER = f"{BUCKET}/collections/d/records"
EVE = "account:eve"
LONG_TEXTS = ("x" * 1_200, "x" * 1_200 + "a", "x" * 1_199)

few = st.one_of(st.integers(0, 2), st.sampled_from([None, True, 1.0, -1.5, "a", "b", "", [], [1], {}, {"a": 1}]))
values = st.one_of(few, few, st.sampled_from(LONG_TEXTS))
contents = st.fixed_dictionaries({}, optional={"f": values, "g": few, "o": st.fixed_dictionaries({"a": few})})
paths = st.sampled_from([("f",), ("g",), ("o", "a")])
orders = st.builds(Order, paths, st.booleans())
fields: st.SearchStrategy[list[Order]] = st.lists(orders, min_size=1, max_size=3, unique_by=lambda each: each.path)
definitions = st.builds(
    lambda kind, some: IndexDefinition(
        kind, tuple(replace(each, descending=False) for each in some) if kind == UNIQUE else tuple(some)
    ),
    st.sampled_from([FIELDS, FIELDS, FIELDS, UNIQUE]),
    fields,
)


@st.composite
def pages(draw: st.DrawFn, definition: IndexDefinition) -> Page:
    """Draw a page that an index with the definition may serve, or nearly."""
    place = draw(st.integers(0, len(definition.fields)))
    filters = [Filter(each.path, "eq", draw(values)) for each in definition.fields[:place]]
    rest: list[Order] = [*definition.fields[place:]]
    is_bounded = draw(st.booleans())
    if rest and is_bounded:
        operator = draw(st.sampled_from(["in", "gt", "min", "lt", "max"]))
        filters.append(Filter(rest[0].path, operator, operand(operator, draw(values))))
    if draw(st.integers(0, 3)) == 0:
        operator = draw(st.sampled_from([name for name in OPERATORS if name != "like"]))
        filters.append(Filter(draw(paths), operator, operand(operator, draw(values))))
    timestamps = st.builds(
        Filter, st.just(("last_modified",)), st.sampled_from(["gt", "min", "lt", "max", "eq"]), st.integers(999, 1_005)
    )
    filters += draw(st.lists(timestamps, max_size=2))
    if draw(st.integers(0, 3)) == 0:
        rest = draw(st.lists(orders, max_size=2))
    tail = Order(("last_modified",), descending=draw(st.integers(0, 7)) > 0)
    return Page(
        LIST,
        tuple(draw(st.permutations(filters))),
        (*rest, tail),
        limit=draw(st.integers(1, 3)),
        tombstones=draw(st.integers(0, 7)) == 0,
        unrestricted=True,
    )


@pytest.fixture(params=DATABASES)
def storage(request: pytest.FixtureRequest) -> Storage:
    """Return an empty storage."""
    sql_storage: Storage = keep_app(database_url(request.param, request), BASICAUTH).extensions["kinto"].storage
    return sql_storage


class List:
    """A list with some objects and tombstones, and another list with the same objects in the same bucket.

    Eve is granted every other object.
    """

    def __init__(self, storage: Any, some: Sequence[dict[str, Any]], defined: Sequence[IndexDefinition]) -> None:
        self.storage = storage
        self.documents = [
            {**data, "id": f"r{place}", "last_modified": 1_000 + place} for place, data in enumerate(some)
        ]
        self.shared = {document["id"] for document in self.documents[::2]}
        self.deleted = [{"id": "t", "last_modified": 2_000, "deleted": True}]
        storage.flush()
        changes = [
            Change(
                Stored(f"{name}/{each['id']}", each["last_modified"], "deleted" in each, 1, dumps(each)),
                each["last_modified"],
                granted=frozenset({("read", EVE)} if each["id"] in self.shared else ()),
            )
            for name in (LIST, OTHER)
            for each in (*self.documents, *self.deleted)
        ]
        with storage.transaction() as transaction:
            moves = [Move(name, 2_000, len(self.documents), starts=True) for name in (LIST, OTHER)]
            transaction.write((), moves, dict.fromkeys((LIST, OTHER), defined))
            transaction.write(changes, ())

    def set_states(self, state: str) -> None:
        """Set the state of all indexes, or build the unfinished ones."""
        with self.storage.transaction() as transaction:
            transaction.lock((LIST,))
            for index in transaction.indexes.of(LIST):
                if state == BUILDING or index.state == BUILDING:
                    transaction.indexes._change(index, state=state)
            if state != BUILDING:
                transaction.indexes.build(LIST, 100)

    def redeclare(self, defined: Sequence[IndexDefinition]) -> None:
        """Declare the indexes anew, with other prefixes."""
        with self.storage.transaction() as transaction:
            transaction.lock((LIST,))
            transaction.write((), (), {LIST: ()})
            transaction.write((), (), {LIST: defined})

    def read(self, page: Page) -> Any:
        """Read a page."""
        return self.storage.read(Selection(BUCKET, clocks=(LIST,), readers=(EVE,), page=page))

    def expected(self, page: Page) -> list[str]:
        """Return the ids that the model finds."""
        there = [*self.documents, *(self.deleted if page.tombstones else ())]
        if not page.unrestricted:
            there = [document for document in there if document["id"] in self.shared]
        matching = [
            document
            for document in there
            if all(model.holds(document, each) for each in page.filters)
            and (not page.words or any(model.has_words(document, paths, page.words) for paths in page.texts))
        ]
        return [document["id"] for document in model.arrange(matching, page.order)]

    def find(self, page: Page, between: Iterator[Any]) -> list[str]:
        """Return the ids of all pages, and let something happen between them."""
        ids: list[str] = []
        by_id = {document["id"]: document for document in (*self.documents, *self.deleted)}
        while page_ids := [stored.id for stored in self.read(page).page]:
            assert len(page_ids) <= page.limit
            ids += page_ids
            last = by_id[ids[-1]]
            page = replace(page, after=(*(model.field(last, key.path) for key in page.order), f"{LIST}/{ids[-1]}"))
            next(between)()
        return ids


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), some=st.lists(contents, max_size=9))
def test_pages_by_an_index_are_those_without_one(storage: Storage, data: st.DataObject, some: list[Any]) -> None:
    defined = data.draw(st.lists(definitions, min_size=1, max_size=2, unique=True))
    there = List(storage, some, ())
    there.redeclare(defined)  # a unique one of duplicates is refused
    happens = {
        "nothing": lambda: None,
        "gone": lambda: there.redeclare(()),
        "new": lambda: there.redeclare(defined),
        "building": lambda: there.set_states(BUILDING),
        "built": lambda: there.set_states(READY),
    }
    between = cycle([happens[name] for name in data.draw(st.lists(st.sampled_from(list(happens)), min_size=1))])

    for _ in range(4):
        page = data.draw(pages(data.draw(st.sampled_from(defined))))
        counted = replace(page, count_only=True, limit=2**63 - 1, tombstones=False)

        assert there.find(page, between) == there.expected(page)
        assert there.read(counted).total == len(there.expected(counted))


def _orders(*names: str) -> tuple[Order, ...]:
    return tuple(Order(tuple(name.lstrip("-").split(".")), name.startswith("-")) for name in names)


EQUAL, IN, RANGE = Filter(("f",), "eq", 1), Filter(("f",), "in", (1, "a")), Filter(("g",), "min", 1)


@pytest.mark.parametrize(
    ("fields", "filters", "sort", "ranges", "serves_if_cut"),
    [
        pytest.param("f", (EQUAL,), (), 1, True, id="an equality and the default sort"),
        pytest.param("f", (), ("f",), 1, False, id="a sort"),
        pytest.param("f", (), ("-f",), 0, False, id="a sort in the other direction"),
        pytest.param("f -g", (EQUAL,), ("-g",), 1, False, id="an equality and a sort"),
        pytest.param("f -g", (EQUAL, RANGE), ("-g",), 1, False, id="an equality, a range and a sort"),
        pytest.param("f -g", (EQUAL,), (), 0, False, id="a field that the sort lacks"),
        pytest.param("f -g", (EQUAL,), ("f", "-g"), 1, False, id="a sort by the field of the equality first"),
        pytest.param("f g", (), ("f", "g"), 1, False, id="a sort by two fields"),
        pytest.param("f g", (), ("g", "f"), 0, False, id="a sort in another order"),
        pytest.param("f", (IN,), (), 2, True, id="two values and the default sort"),
        pytest.param("f g", (IN,), ("f", "g"), 2, False, id="two values and a sort by their field"),
        pytest.param("f", (Filter(("f",), "in", tuple(range(11))),), (), 0, False, id="too many values"),
        pytest.param("f", (Filter(("f",), "not", 1),), (), 0, False, id="a negation"),
        pytest.param("g", (RANGE,), (), 0, False, id="a range and the default sort"),
        pytest.param("f last_modified", (EQUAL,), ("last_modified",), 1, False, id="the oldest first"),
    ],
)
def test_an_index_serves_a_page(
    storage: Storage, fields: str, filters: tuple[Filter, ...], sort: tuple[str, ...], ranges: int, serves_if_cut: bool
) -> None:
    """Also one whose keys were cut, unless it has to sort by its fields."""
    definition = IndexDefinition(FIELDS, _orders(*fields.split()))
    there = List(storage, [{"f": number % 3, "g": number} for number in range(9)], [definition])
    tail = () if "last_modified" in sort else ("-last_modified",)
    page = Page(LIST, filters, _orders(*sort, *tail), limit=3, unrestricted=True)

    indexes = there.read(replace(page, tombstones=False)).indexes
    plan = choose(page, indexes)
    cut = choose(page, [replace(index, state=LONG) for index in indexes])

    assert (len(plan.ranges) if isinstance(plan, IndexPlan) else 0) == ranges
    assert bool(cut) == serves_if_cut
    assert there.find(page, cycle([lambda: None])) == there.expected(page)
