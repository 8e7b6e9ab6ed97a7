"""The words of texts, as `_search` compares them."""

from __future__ import annotations

import pytest

from backends.storage.words import MAX_LENGTH, words_of

E_ACUTE, COMBINING_ACUTE, SOFT_HYPHEN = "\u00e9", "\u0301", "\u00ad"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "", id="no text"),
        pytest.param(" \t\n.,;!?-_'\"\\%*()[]\u2019\u2026\u3000\uff0c", "", id="separators"),
        pytest.param("The quick-brown fox_2", "the quick brown fox 2", id="punctuation"),
        pytest.param("\u00c9T\u00c9 e" + COMBINING_ACUTE + "te " + E_ACUTE + "t" + E_ACUTE, "ete", id="accents"),
        pytest.param(
            "\u039f\u0394\u039f\u03a3 \u03bf\u03b4\u03bf\u03c2", "\u03bf\u03b4\u03bf\u03c3", id="a final sigma"
        ),
        pytest.param("Stra\u00dfe STRASSE", "stra\u00dfe strasse", id="no letter is two"),
        pytest.param("\u0130stanbul \uff21\uff11", "istanbul a1", id="dots and full width"),
        pytest.param("hy" + SOFT_HYPHEN + "phen " + COMBINING_ACUTE, "hyphen", id="invisible characters"),
        pytest.param("\u6771\u4eac\u3001\u5927\u962a", "\u6771\u4eac \u5927\u962a", id="other scripts"),
        pytest.param("a b a", "a b", id="a word twice"),
        pytest.param("x" * 150 + " " + "x" * 100, "x" * MAX_LENGTH, id="long words"),
    ],
)
def test_words_have_neither_case_nor_accents(text: str, words: str) -> None:
    assert " ".join(words_of(text)) == words
