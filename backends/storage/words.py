"""The words of texts, as `_search` compares them: whatever their case and their accents.

- A word is a run of letters and digits. Punctuation, symbols and spaces separate words; accents, other marks and
  invisible characters are dropped. "L'École n°2" has the words `l`, `ecole`, `n`, `2`.
- Each character is folded by itself into one character: `É` into `e`, a final sigma into sigma, full-width letters into
  ordinary ones. So PostgreSQL, which has other rules, finds a word in a text by a pattern (`pattern_of`).
- This holds for the characters of `_BLOCKS`, about whose categories all versions of Python agree. All other characters
  are letters that are equal to themselves only.
- Of a long word the first `MAX_LENGTH` characters count.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final

from backends import Json
from backends.storage.values import value_at

MAX_LENGTH: Final = 100
"""The number of characters of a word that count."""

_BLOCKS: Final = (range(0x0000, 0x0700), range(0x1E00, 0x2070), range(0x3000, 0x3040), range(0xFF00, 0xFF61))
"""Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic, their extensions, punctuation, that of CJK, full-width forms."""

_LETTERS: Final = ("L", "N", "Cn")
_IGNORED_CATEGORIES: Final = ("M", "Cf")
"""Categories of Unicode, or their first letters. A character without category may become a letter."""


def words_of(text: str) -> tuple[str, ...]:
    """Return the different words of a text, in their order."""
    return tuple(dict.fromkeys(word[:MAX_LENGTH] for word in text.translate(_folding()).split(" ") if word))


def words_at(document: Json, paths: Iterable[Sequence[str]]) -> set[str]:
    """Return the words of the fields of a document that are texts."""
    values = (value_at(document, path) for path in paths)
    return {word for value in values if isinstance(value, str) for word in words_of(value)}


def pattern_of(word: str) -> str:
    """Return the regular expression of PostgreSQL that finds a word of `words_of` in a text.

    It has characters and ranges of code points only, so that it does not depend on the locale of the database.
    """
    separator, ignorable = _class_of(" "), f"[{_class_of('')}]*"
    letters = "".join(f"[{_class_of(letter)}]{ignorable}" for letter in word)
    end = "" if len(word) == MAX_LENGTH else f"(?:$|[{separator}])"
    return f"(?:^|[{separator}]){ignorable}{letters}{end}"


@cache
def _folding() -> dict[int, str]:
    """Return what each character of the blocks is folded into: "" if it is dropped, " " if it separates words."""
    return {code: _fold(chr(code)) for block in _BLOCKS for code in block}


def _fold(character: str) -> str:
    if _is_dropped(character):
        return ""
    if not unicodedata.category(character).startswith(_LETTERS):
        return " "
    bases = [each for each in unicodedata.normalize("NFKD", character) if not _is_dropped(each)]
    base = bases[0] if len(bases) == 1 else character
    return next((lower for lower in (base.casefold(), base.lower()) if len(lower) == 1), base)


def _is_dropped(character: str) -> bool:
    return unicodedata.category(character).startswith(_IGNORED_CATEGORIES)


@lru_cache(maxsize=1_000)
def _class_of(letter: str) -> str:
    """Return the characters that are folded into *letter* ("" for none), for the brackets of a regular expression."""
    codes = [code for code, other in _folding().items() if other == letter and code]
    outside = [ord(letter)] if letter and ord(letter) not in _folding() else []
    return "".join(map(_range_text, _ranges(codes + outside)))


def _ranges(codes: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Return the first and the last of each run of numbers."""
    starts = [0, *(place for place, (one, other) in enumerate(pairwise(codes), 1) if other != one + 1), len(codes)]
    return [(codes[start], codes[end - 1]) for start, end in pairwise(starts)]


def _range_text(ends: tuple[int, int]) -> str:
    # ASCII characters may have a meaning inside brackets.
    first, last = (rf"\u{code:04x}" if code < 0x80 else chr(code) for code in ends)
    return first if first == last else f"{first}-{last}"
