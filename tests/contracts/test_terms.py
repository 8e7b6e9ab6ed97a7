"""Words and elements are found by their terms as without them, whatever is stored and searched.

Indexes are built and declared again between two pages; `tests.support.model` judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import ARRAY, Text, bindparam, func, select

from backends.storage import Filter, IndexDefinition, Order, Page, Storage
from backends.storage.indexes import BUILDING, CONTAINS, FIELDS, READY, TEXT
from backends.storage.plans import choose
from backends.storage.term_plans import TermPlan
from backends.storage.words import MAX_LENGTH, pattern_of, words_of
from tests.contracts.test_indexed_pages import LIST, List, orders
from tests.contracts.test_indexed_pages import storage as storage
from tests.support.databases import BASICAUTH, keep_app
from tests.support.examples import examples

MARKS = "\u0301\u00ad"
LETTERS = "aAb1\u00e9\u00c9\u03c3\u03c2\u03a3\uff21\u6771"
GAPS = " .,-_'%\\\t\n\u2019\u3000"
alphabet = st.sampled_from(LETTERS + GAPS + MARKS)
LONG_WORDS = ("a" * 100, "a" * 101, "a" * 99, "a" * 99 + "b" + "\u0301" * 3)
phrases = st.lists(st.sampled_from(["red", "Fox", "caf\u00e9", "CAFE"]), min_size=1, max_size=3).map(" ".join)
texts = st.one_of(phrases, phrases, phrases, st.text(alphabet, max_size=8), st.sampled_from(LONG_WORDS))
elements: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(
        [None, True, False, 0, 1, 1.0, -0.0, 1e300, 2**70, "", "1", "a", "A", "\u00e9", "e\u0301", "\\u0000"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["a", "b", ""]), inner, max_size=2)
    ),
    max_leaves=3,
)
arrays = st.lists(elements, max_size=4)
contents = st.fixed_dictionaries(
    {"t": st.one_of(texts, texts, texts, elements)},
    optional={
        "u": texts,
        "o": st.fixed_dictionaries({"a": texts}),
        "tags": st.one_of(arrays, arrays, elements),
        "more": arrays,
    },
)
by_text = st.lists(st.sampled_from([("t",), ("u",), ("o", "a")]), min_size=1, max_size=3, unique=True)
by_element = st.lists(st.sampled_from([("tags",), ("more",)]), min_size=1, max_size=2, unique=True)
text_indexes = st.builds(lambda paths: IndexDefinition(TEXT, tuple(map(Order, paths))), by_text)
element_indexes = st.builds(lambda paths: IndexDefinition(CONTAINS, tuple(map(Order, paths))), by_element)


@st.composite
def pages(draw: st.DrawFn, some: Sequence[Any], defined: Sequence[IndexDefinition]) -> Page:
    """Draw a page with words and elements, often those of an object."""
    paths = [tuple(field.path for field in each.fields) for each in defined if each.kind == TEXT]
    is_known = bool(some) and draw(st.integers(0, 3)) > 0
    document: Any = draw(st.sampled_from(some)) if is_known else {}
    text = draw(st.one_of(phrases, phrases, texts, st.just(f"{document.get('t')} {document.get('u')}")))
    filters = []
    for name in ("tags", "more"):
        stored = document.get(name)
        if draw(st.integers(0, 2)) == 0:
            operator = draw(st.sampled_from(["contains", "contains_any"]))
            values = stored if isinstance(stored, list) and draw(st.booleans()) else draw(arrays)
            filters.append(Filter((name,), operator, values[: draw(st.integers(0, 3))]))
    if draw(st.integers(0, 5)) == 0:
        filters.append(Filter(("u",), "eq", document.get("u", "")))
    return Page(
        LIST,
        tuple(filters),
        (*draw(st.lists(orders, max_size=1)), Order(("last_modified",), descending=draw(st.booleans()))),
        limit=draw(st.integers(1, 3)),
        tombstones=draw(st.integers(0, 7)) == 0,
        unrestricted=draw(st.integers(0, 3)) > 0,
        words=words_of(text)[:4] if paths else (),
        texts=tuple(sorted(paths)),
    )


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), some=st.lists(contents, min_size=2, max_size=7))
def test_pages_by_terms_are_those_without_them(storage: Storage, data: st.DataObject, some: list[Any]) -> None:
    defined = [
        *data.draw(st.lists(text_indexes, min_size=data.draw(st.sampled_from([0, 1, 1])), max_size=2, unique=True)),
        *data.draw(st.lists(element_indexes, max_size=2, unique=True)),
    ]
    there = List(storage, some, ())
    there.redeclare(defined)
    happens = {
        "nothing": lambda: None,
        "new": lambda: there.redeclare(defined),
        "building": lambda: there.set_states(BUILDING),
        "built": lambda: there.set_states(READY),
    }
    between = cycle([happens[name] for name in data.draw(st.lists(st.sampled_from(list(happens)), min_size=1))])

    for _ in range(4):
        page = data.draw(pages(some, defined))
        counted = replace(page, count_only=True, limit=2**63 - 1, tombstones=False)

        assert there.find(page, between) == there.expected(page)
        assert there.read(counted).total == len(there.expected(counted))


def test_the_words_and_elements_of_an_object_have_no_limit(storage: Storage) -> None:
    many = [f"w{number}" for number in range(10_000)]
    defined = [IndexDefinition(TEXT, (Order(("t",)),)), IndexDefinition(CONTAINS, (Order(("tags",)),))]
    there = List(storage, [{"t": " ".join(many), "tags": many}, {"t": "w1 w2", "tags": ["w1"]}], defined)
    rare = Page(LIST, words=("w9999", "w1"), limit=5, unrestricted=True)
    elements = Page(LIST, (Filter(("tags",), "contains", many[-200:]),), limit=5, unrestricted=True)

    for page in (rare, elements, replace(elements, filters=(Filter(("tags",), "contains_any", many[-200:]),))):
        for _ in range(2):
            snapshot = there.read(page)
            assert [stored.id for stored in snapshot.page] == ["r0"]
        assert isinstance(choose(page, snapshot.indexes), TermPlan)


def test_pages_of_a_frequent_element_are_those_without_terms(storage: Storage) -> None:
    many = [{"tags": ["all", number % 3], "t": "all", "n": number % 7} for number in range(1_050)]
    defined = [IndexDefinition(CONTAINS, (Order(("tags",)),)), IndexDefinition(TEXT, (Order(("t",)),))]
    there = List(storage, many, defined)
    by_n = IndexDefinition(FIELDS, (Order(("n",)),))
    condition = Filter(("tags",), "contains_any", ["all"])
    page = Page(LIST, (condition,), limit=600, unrestricted=True, explain=True)

    for declared in (defined, [*defined, by_n]):
        there.redeclare(declared)
        for order in (page.order, (Order(("n",)), *page.order)):
            for words in ((), ("all",)):
                each = replace(page, order=order, words=words, texts=((("t",),),))
                snapshot = there.read(each)
                assert there.find(each, cycle([lambda: None])) == there.expected(each)
                assert snapshot.explanation is not None
                frequent = order == page.order or by_n in declared
                assert snapshot.explanation.reason == ("frequent" if frequent else None)


def test_words_are_ignored_without_an_index_by_texts(storage: Storage) -> None:
    there = List(storage, [{"t": "a"}, {"t": "b"}], [IndexDefinition(TEXT, (Order(("t",)),))])
    page = Page(LIST, words=("a",), limit=5, unrestricted=True)
    counted = replace(page, count_only=True, limit=2**63 - 1)
    declared = [stored.id for stored in there.read(page).page], there.read(counted).total
    there.redeclare([IndexDefinition(CONTAINS, (Order(("t",)),))])

    assert declared == (["r0"], 1)
    assert ([stored.id for stored in there.read(page).page], there.read(counted).total) == (["r1", "r0"], 2)


BLOCKS = (range(1, 0x700), range(0x1E00, 0x2100), range(0x2FF0, 0x3100), range(0xFEF0, 0xFFF0), range(0x10000, 0x10010))
CHARACTERS = [chr(code) for block in BLOCKS for code in block]


def test_postgresql_finds_the_words_that_texts_have(postgresql_url: str) -> None:
    """Each character alone, in a word, twice in a row, and in texts that have no such word."""
    cases = [f"{before}{each}{after}" for each in CHARACTERS for before, after in (("", ""), ("x", "y"), ("-", each))]
    pairs = [(text, word) for text in cases for word in words_of(text)]
    pairs += [(f"x{each}y", "xy") for each in CHARACTERS]
    pairs += [(f"a {word}{more}", word) for word in ("x" * MAX_LENGTH, "x" * 99) for more in ("", "x", "-", "\u0301")]
    service = keep_app(postgresql_url, BASICAUTH).extensions["kinto"]
    tables = func.unnest(bindparam("texts", type_=ARRAY(Text)), bindparam("patterns", type_=ARRAY(Text)))
    rows = tables.table_valued("text", "pattern").render_derived()

    with service.storage.reading.connect() as connection:
        values = {"texts": [text for text, _ in pairs], "patterns": [pattern_of(word) for _, word in pairs]}
        matches = connection.execute(select(rows.c.text.op("~")(rows.c.pattern)), values).scalars().all()

    expected = [word in words_of(text) for text, word in pairs]
    assert [pair for pair, one, other in zip(pairs, matches, expected, strict=True) if one != other] == []
    assert set(matches) == {True, False}
