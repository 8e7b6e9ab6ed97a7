"""The keys of indexes compare as the objects are sorted, whatever the values are."""

from __future__ import annotations

from functools import cmp_to_key, partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backends.storage import MISSING
from backends.storage.index_keys import MAX_BYTES, end_of, field_key, longest_field, object_key
from backends.storage.indexes import FIELDS, UNIQUE, Index, IndexDefinition, read_definition
from backends.storage.selections import Order
from backends.storage.values import order_key, value_at

PREFIX = bytes.fromhex("015b0e62c1a7d843")
EXAMPLE = Index("l", 1, PREFIX, read_definition('{"fields":["status","-count"]}'))

numbers = st.one_of(
    st.integers(-(2**70), 2**70), st.integers(-3, 3), st.floats(allow_nan=False, allow_infinity=False), st.just(-0.0)
)
texts = st.one_of(st.text(max_size=4), st.text(st.sampled_from("a\0\x01\xff\uffff\U0001f600"), max_size=4))
scalars = st.one_of(st.none(), st.booleans(), numbers, st.sampled_from([1e308, -1e308, 5e-324, 2**64]), texts)
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda some: st.lists(some, max_size=3) | st.dictionaries(texts, some, max_size=3), max_leaves=6
)
documents = st.fixed_dictionaries(
    {"last_modified": st.integers(0, 2**48)}, optional=dict.fromkeys(("a", "b", "c"), values)
)
fields = st.lists(
    st.builds(Order, st.sampled_from([("a",), ("b",), ("c",)]), st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each.path,
)


def _compare(fields: list[Order], one: dict[str, Any], other: dict[str, Any]) -> int:
    for field in (*fields, Order(("last_modified",), descending=True)):
        left, right = order_key(value_at(one, field.path)), order_key(value_at(other, field.path))
        if left != right:
            return -1 if (left < right) != field.descending else 1
    return 0


@given(fields, st.lists(documents, max_size=6))
def test_keys_sort_as_the_fields_and_the_timestamp_do(fields: list[Order], some: list[dict[str, Any]]) -> None:
    index = Index("l", 1, PREFIX, IndexDefinition(FIELDS, tuple(fields)))

    by_key = sorted(some, key=lambda document: object_key(index, document)[0] or b"")

    assert by_key == sorted(some, key=cmp_to_key(partial(_compare, fields)))


@given(st.lists(values, min_size=2, max_size=8), st.booleans(), st.integers(0, 3))
def test_no_part_of_a_key_is_the_beginning_of_another(some: list[Any], is_descending: bool, pad: int) -> None:
    """Cut parts included: a long text ends near the place where parts are cut."""
    definition = IndexDefinition(FIELDS, (Order(("a",), is_descending), Order(("b",)), Order(("c",)), Order(("d",))))
    longest = longest_field(definition)
    long_texts = ["x" * (longest - 2 + pad + more) + tail for more in range(3) for tail in ("", "\0", "y")]
    parts = {field_key(definition, 0, value)[0] for value in (*some, *long_texts, MISSING)}

    assert len(parts) == len({order_key(value) for value in (*some, *long_texts, MISSING)})
    assert not [(one, other) for one in parts for other in parts if one != other and other.startswith(one)]
    assert all(part < end_of(part) and not end_of(part).startswith(part) for part in parts)


def test_a_long_value_is_cut_and_its_key_stays_short() -> None:
    key, is_cut = object_key(EXAMPLE, {"status": "x" * 100_000, "count": ["y"] * 10_000, "last_modified": 2**48})

    assert is_cut
    assert key is not None
    assert len(key) <= MAX_BYTES


def test_a_unique_index_has_no_key_of_an_object_with_a_free_value() -> None:
    index = Index("l", 1, PREFIX, IndexDefinition(UNIQUE, (Order(("a",)), Order(("b",)))))

    keys = [object_key(index, {"last_modified": 1, **data})[0] for data in ({"a": 1}, {"a": 1, "b": None}, {})]

    assert keys == [None, None, None]
    assert object_key(index, {"a": 1, "b": 2, "last_modified": 1}) == object_key(
        index, {"a": 1.0, "b": 2, "last_modified": 5}
    )


def test_the_example_of_the_documentation_is_right() -> None:
    key, _ = object_key(EXAMPLE, {"status": "active", "count": 5, "last_modified": 1750000000002})

    assert key == bytes.fromhex("015b0e62c1a7d843 2061637469766500 cd7ffffffecaff fffffe688bdf23fd")
