"""Bodies: what is JSON, what is refused, and that every value comes through as it was sent."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Invalid, Problem
from app.parsing.bodies import MAX_DEPTH, decode, is_deeper_than, is_same, not_a_mapping, not_iterable
from backends.codec import dumps
from tests.support.examples import examples

LONG = b'"long": 1234567890123456789012345'


def problems(raw: bytes) -> list[Problem]:
    with pytest.raises(Invalid) as caught:
        decode(raw)
    return caught.value.problems


@pytest.mark.parametrize("slow", [b'"short": 1', LONG], ids=["read quickly", "with a long number"])
@pytest.mark.parametrize(
    "text",
    [
        b'"a": NaN',
        b'"a": Infinity',
        b'"a": -Infinity',
        b'"a": 1e400',
        b'"a": "\\ud800"',
        b'"a": "\\udc00x"',
        b'"a": "\xff"',
        b'"a": "\n"',
        b'"a": 01',
        b'"a": 1,',
        b"'a': 1",
    ],
    ids=[
        "NaN",
        "infinity",
        "minus infinity",
        "a number beyond double range",
        "a lone surrogate",
        "a lone low surrogate",
        "bytes that are not UTF-8",
        "a raw line break in a text",
        "a leading zero",
        "a trailing comma",
        "single quotes",
    ],
)
def test_a_body_is_refused_when_it_is_not_json(text: bytes, slow: bytes) -> None:
    """C-ERR-17, C-ERR-23."""
    (problem,) = problems(b"{" + slow + b", " + text + b"}")

    assert (problem.location, problem.name) == ("body", "")
    assert problem.description.startswith("Invalid JSON: ")


@pytest.mark.parametrize("body", [b'{"a": 1}', b"{" + LONG + b"}"], ids=["read quickly", "with a long number"])
def test_a_body_is_refused_when_something_stands_around_it(body: bytes) -> None:
    """C-ERR-23: a byte order mark before, other text behind."""
    assert problems(b"\xef\xbb\xbf" + body)
    assert problems(body + b" x")


def test_a_pair_of_surrogates_is_one_character_when_a_long_number_is_there() -> None:
    assert decode(b'{"a": "\\ud83d\\ude00", ' + LONG + b"}")["a"] == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "number",
    [2**53 + 1, 2**63, 2**64, 2**65, -(2**63) - 1, 10**400],
    ids=["beyond double", "beyond signed", "beyond unsigned", "2 to the 65th", "below signed", "400 digits"],
)
def test_an_integer_comes_back_exactly_when_it_is_large(number: int) -> None:
    """Limits of DECISIONS amend C-ERR-24: 2**65 comes back as 2**65."""
    assert decode(f'{{"a": {number}}}'.encode())["a"] == number
    assert dumps({"a": number}) == f'{{"a":{number}}}'


def test_an_integer_is_refused_when_it_has_more_digits_than_python_reads() -> None:
    assert problems(b"[" + b"9" * 5000 + b"]")


@pytest.mark.parametrize("body", [b'{"a": 1, "a": 2}', b'{"a": 1, "a": 2, "b": %d}' % 2**70])
def test_the_last_of_duplicate_keys_wins(body: bytes) -> None:
    """C-ERR-24."""
    assert decode(body)["a"] == 2


@pytest.mark.parametrize("inner", [b"1", b"1234567890123456789"], ids=["read quickly", "with a long number"])
def test_a_body_is_refused_when_it_is_nested_too_deeply(inner: bytes) -> None:
    allowed, refused = (b"[" * depth + inner + b"]" * depth for depth in (MAX_DEPTH, MAX_DEPTH + 1))

    assert isinstance(decode(allowed), list)
    assert problems(refused) == [Problem("body", "", "JSON is nested more than 100 levels deep")]


@pytest.mark.parametrize("inner", [b"1", b"1234567890123456789"], ids=["read quickly", "with a long number"])
def test_a_body_does_no_harm_when_it_is_nested_enormously(inner: bytes) -> None:
    assert problems(b"[" * 100_000 + inner + b"]" * 100_000)


def test_a_body_is_not_deep_when_it_has_many_lists_side_by_side() -> None:
    assert len(decode(b"[" + b"[]," * 500 + b"[]]")) == 501


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (rb'{"data": {"a": "x\u0000"}}', ["data.a"]),
        (rb'{"data": {"a": ["y", "\u0000"]}}', ["data.a.1"]),
        (rb'{"data": {"a\u0000": 1}}', ["data"]),
        (rb'{"permissions": {"read": ["\u0000"]}, "data": {"x": "\u0000"}}', ["data.x", "permissions.read.0"]),
        (rb'[{"op": "add", "path": "/data/\u0000"}]', ["0.path"]),
    ],
    ids=["in a value", "in a list", "in a key", "in two places", "in a JSON Patch"],
)
def test_a_body_is_refused_by_field_when_a_text_holds_nul(body: bytes, names: list[str]) -> None:
    """C-ERR-25."""
    assert problems(body) == [Problem("body", name, "Invalid character 0x00") for name in names]


def test_a_body_is_accepted_when_the_escape_of_nul_is_itself_escaped() -> None:
    assert decode(rb'{"a": "\\u0000"}') == {"a": r"\u0000"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
).filter(lambda value: "\\u0000" not in json.dumps(value))


@settings(max_examples=examples(150), deadline=None)
@given(VALUES)
def test_every_value_survives_decoding_and_encoding(value: object) -> None:
    """C-OBJ-4."""
    decoded = decode(json.dumps(value).encode())

    assert is_same(decoded, value)
    assert is_same(decode(dumps(decoded).encode()), value)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (True, 1, False),
        (1, 1.0, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": [True]}, {"a": [1]}, False),
        ([1], [1, 2], False),
        (None, False, False),
    ],
    ids=["true and one", "integer and fraction", "other order", "inside a list", "other length", "null and false"],
)
def test_values_are_the_same_when_their_json_is(one: object, other: object, expected: bool) -> None:
    assert is_same(one, other) is expected


def test_depth_counts_lists_and_mappings() -> None:
    assert not is_deeper_than("text", 0)
    assert is_deeper_than({}, 0)
    assert not is_deeper_than({"a": [1]}, 2)
    assert is_deeper_than({"a": [1]}, 1)


def test_wrong_types_are_worded_as_clients_know_them() -> None:
    """C-ERR-20 and the table of core contract 3.5."""
    mapping = not_a_mapping("data", None)
    iterable = not_iterable("", {})

    assert mapping.description == '"None" is not a mapping type: Does not implement dict-like functionality.'
    assert iterable.description == '"{}" is not iterable'
