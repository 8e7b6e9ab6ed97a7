"""Patterns of JSON Schemas: ECMA-262, Python's dialect where only that one knows the syntax, and their bounds."""

from __future__ import annotations

import re

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.schemas.patterns import MAX_SIZE_BYTES, Pattern, pattern_options, read_pattern
from tests.support.examples import examples


def matches(pattern: Pattern, text: str) -> bool:
    validator = jsonschema_rs.Draft7Validator({"pattern": pattern.text}, pattern_options=pattern_options())
    return validator.is_valid(text)


ECMA = [
    (r"^\p{L}+$", "é", "1"),
    (r"^[\w\-\.]+@[\w-]+$", "a.b@c", "a"),
    (r"^\<[a-z]+\>$", "<b>", "b"),
    (r"^[\<\>]$", "<", "b"),
    (r"^(?<year>\d{4})-\k<year>$", "2020-2020", "2020-2021"),
    (r"^[^]$", "\n", ""),
    (r"^\cA$", "\x01", "A"),
    (r"^\0$", "\0", "0"),
    (r"^\d$", "1", "٣"),
    (r"^a$", "a", "a\n"),
    (r"^\ud83d\ude00$", "😀", "a"),
    (r"^\u{1F600}$", "😀", "a"),
    (r"^[\d-x]$", "-", "y"),
    (r"^[[]$", "[", "a"),
    (r"^[a&&b]$", "&", "c"),
    (r"^(?!\s*$).+", "a", " "),
    (r"^(?=.*\d)(?=.*[a-z]).{8,}$", "abcdefg1", "abc"),
    (r"(?<=a)b", "ab", "cb"),
    (r"^{$", "{", "a"),
]
PYTHON = [
    (r"(?i)^abc$", "ABC", "x"),
    (r"(?i:a)bc", "Abc", "ABC"),
    (r"(?s)^.$", "\n", ""),
    (r"(?m)^b$", "a\nb", "ab"),
    (r"(?im)^b$", "a\nB", "ab"),
    ("(?x) ^ a  b $ # both\n", "ab", "a b"),
    (r"(?x) ^ a [ ] b $", "a b", "ab"),
    (r"(?a)^\w$", "a", "-"),
    (r"\Aabc\Z", "abc", "xabc"),
    (r"^(?P<q>['\"])x(?P=q)$", "'x'", "'x\""),
    (r"^(?P<a>a)(?P<b>b)(?P=b)(?P=a)$", "abba", "abab"),
    (r"^(a)(?P<b>b)\2(?P=b)0$", "abbb0", "abb0"),
    (r"a(?#a comment)b", "ab", "a"),
    (r"^a{,3}$", "aa", "aaaa"),
    (r"^[]a]$", "]", "b"),
    (r"^[^]a]$", "b", "]"),
    (r"^[[:alpha:]]$", "a]", "a"),
    (r"^\012$", "\n", "a"),
    (r"^\07$", "\x07", "7"),
    (r"^[\b]$", "\b", "b"),
    (r"^\N{DIGIT ONE}$", "1", "2"),
    (r"^\U0001F600$", "😀", "a"),
]
NEITHER = ["(", "[", "*a", "a**", "a{2,1}", "[z-a]", r"\z", r"(?P=none)", r"\N{no such name}", "(?y)a", r"^\pL$", "a)"]
ONLY_PYTHON = ["a++b", "(?>a+)b", "(a)(?(1)b|c)", r"(?m)\Aa"]


@pytest.mark.parametrize(("pattern", "match", "other"), ECMA)
def test_a_pattern_means_what_ecma_262_says(pattern: str, match: str, other: str) -> None:
    compiled_pattern = read_pattern(pattern)

    assert (matches(compiled_pattern, match), matches(compiled_pattern, other)) == (True, False)


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@pytest.mark.parametrize(("pattern", "match", "other"), PYTHON)
def test_a_pattern_that_only_python_knows_means_what_python_says(pattern: str, match: str, other: str) -> None:
    compiled_pattern = read_pattern(pattern)

    assert re.search(pattern, match)
    assert not re.search(pattern, other)
    assert (matches(compiled_pattern, match), matches(compiled_pattern, other)) == (True, False)


@pytest.mark.parametrize("pattern", NEITHER + ONLY_PYTHON)
def test_a_pattern_that_cannot_be_written_is_unusable(pattern: str) -> None:
    assert read_pattern(pattern).text is None


@pytest.mark.parametrize(
    "pattern",
    [
        r"\p{L}{200,280}",
        r"(?i)\p{L}{200,280}",
        r"(?=a)\p{L}{200,280}",
        "((a{1000}){1000}){1000}",
        r"(\w{99}\S{99}){99}",
    ],
)
def test_a_pattern_that_is_too_large_is_unusable(pattern: str) -> None:
    assert read_pattern(pattern).text is None


@pytest.mark.parametrize("pattern", [r"^.{1,2000}$", r"^\S{1,255}$", r"^[\s\S]{0,4000}$", r"^\p{L}{1,40}$"])
def test_a_pattern_of_usual_size_is_usable(pattern: str) -> None:
    assert read_pattern(pattern).text is not None


def test_the_size_of_a_pattern_is_held_against_what_is_left() -> None:
    whole = read_pattern(r"^\p{L}{1,20}$")

    assert whole.text is not None
    assert read_pattern(r"^\p{L}{1,20}$", whole.size_bytes // 2).text is None
    assert read_pattern("a", 0).text is None


PIECES = [
    *"ab-^$.*+?()[]{}|&~ 0",
    r"\d",
    r"\w",
    r"\<",
    r"\Z",
    r"\A",
    "(?i)",
    "(?P<n>",
    "(?P=n)",
    "(?:",
    "{2,3}",
    "{,2}",
    "😀",
]


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_any_text_is_a_pattern_or_is_none(pattern: str) -> None:
    """Where both dialects know it and nothing is said of classes, they agree."""
    compiled_pattern = read_pattern(pattern)

    assert compiled_pattern.size_bytes <= MAX_SIZE_BYTES
    if compiled_pattern.text is not None:
        matches(compiled_pattern, "ab-0")
