r"""Read the regular expressions of JSON Schemas: ECMA-262, or Python's dialect where only that one knows the syntax.

Kinto matches with Python's `re`, so schemas that it accepted may say `(?i)`, `(?P<name>...)`, `\A` or `\Z`. Those are
written anew in the syntax of ECMA-262; `\d`, `\w`, `\s` and `$` keep the meaning that they have there. Nothing is
compiled that may take more than a given size, and nothing that may backtrack is left without a limit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import jsonschema_rs

MAX_SIZE_BYTES: Final = 8 * 2**20
"""How much memory a compiled pattern may take: `.{4000}` takes half of it."""

BACKTRACK_LIMIT: Final = 10_000
"""How many times a pattern that is not linear may try another way; it does not match after that."""

DFA_SIZE_BYTES: Final = 128 * 2**10
"""How much memory a pattern may take to match."""

_SIZES_BYTES: Final = (*(2**exponent for exponent in range(10, 23, 2)), MAX_SIZE_BYTES)
_BACKTRACKS: Final = re.compile(r"\(\?<?[=!]|\\[1-9]")
_REPEATED: Final = re.compile(r"\{\d+(?:,\d*)?\}")
_SPECIAL: Final = frozenset(r"^$\.*+?()[]{}|/")
_MARKS: Final = re.compile(r"(\\[^<>])|\\([<>])", re.DOTALL)
_FLAGS: Final = re.compile(r"\(\?([aimsux]+)\)")
_SCOPED: Final = re.compile(r"\(\?([aimsu]*)(?:-([ims]+))?:")
_QUANTIFIER: Final = re.compile(r"\{(\d*)(,?)(\d*)\}")
_TOKEN: Final = re.compile(
    r"""
    (?P<escape> \\ (?: N\{[^}]*\} | [pP]\{[^}]*\} | u\{[0-9a-fA-F]+\} | k<\w+> | x[0-9a-fA-F]{2}
                     | u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2} | u[0-9a-fA-F]{4} | U[0-9a-fA-F]{8}
                     | c[A-Za-z] | 0[0-7]{0,2} | [1-3][0-7]{2} | [1-9][0-9]? | . ))
  | (?P<comment> \(\?\# [^)]* \))
  | (?P<name> \(\?P?<(?![=!]) \w+ >)
  | (?P<reference> \(\?P= \w+ \))
  | (?P<scope> \(\? [aimsu]* (?:-[ims]+)? : )
  | (?P<around> \(\? (?: <?[=!] ) )
  | (?P<unknown> \(\? )
  | (?P<group> \( )
  | (?P<any> \[\^\] (?! [^\[]* \] ) )
  | (?P<set> \[ \^? \]? (?: \\. | [^\]\\] )* \] )
  | (?P<quantifier> \{ (?: \d+ (?: , \d* )? | ,\d+ ) \} )
  | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_CHARACTERS: Final = re.compile(
    r"\\(?:N\{[^}]*\}|[pP]\{[^}]*\}|u\{[0-9a-fA-F]+\}|x[0-9a-fA-F]{2}|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|c[A-Za-z]|[0-7]{1,3}|.)|.",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern as validators read it, an upper bound of its compiled size, and whether it matches in linear time.

    `text` is None where no dialect knows the pattern, or it is too large.
    """

    text: str | None
    size_bytes: int
    linear: bool = True


def read(pattern: str, most_bytes: int = MAX_SIZE_BYTES) -> Pattern:
    """Return how to compile a pattern in *most_bytes* at most. The effort is bounded by the size that is returned."""
    size = 0
    for text in dict.fromkeys(_spellings(pattern)):
        backtracks = _BACKTRACKS.search(text) is not None
        if not _compiles(_REPEATED.sub("?", text), _SIZES_BYTES[-3], backtracks=backtracks):
            continue
        for size in _SIZES_BYTES:
            if size > most_bytes:
                return Pattern(None, max(most_bytes, 0))
            if _compiles(text, size, backtracks=False):
                return Pattern(text, size)
            if backtracks and _compiles(text, size, backtracks=True):
                return Pattern(text, size, linear=False)
    return Pattern(None, size)


def options() -> jsonschema_rs.FancyRegexOptions:
    """Return how validators compile patterns."""
    return jsonschema_rs.FancyRegexOptions(
        backtrack_limit=BACKTRACK_LIMIT, size_limit=MAX_SIZE_BYTES, dfa_size_limit=DFA_SIZE_BYTES
    )


def _compiles(text: str, size_bytes: int, *, backtracks: bool) -> bool:
    options = (
        jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACK_LIMIT, size_limit=size_bytes)
        if backtracks
        else jsonschema_rs.RegexOptions(size_limit=size_bytes)
    )
    try:
        jsonschema_rs.Draft7Validator({"pattern": text}, pattern_options=options)
    except ValueError:
        return False
    return True


def _spellings(pattern: str) -> Iterator[str]:
    """Yield a pattern as ECMA-262, then as Python's dialect."""
    # For the library these two are the boundaries of words.
    yield _MARKS.sub(r"\1\2", pattern)
    try:
        yield _Translation().translate(pattern)
    except (ValueError, KeyError):
        return


class _Translation:
    """One pattern on the way from Python's dialect to ECMA-262: ValueError and KeyError for syntax without an equal."""

    def __init__(self) -> None:
        self._groups = 0
        self._numbers: dict[str, int] = {}
        self._verbose = False
        self._multiline = False

    def translate(self, pattern: str) -> str:
        """Return the pattern in the syntax of ECMA-262."""
        flags = _FLAGS.match(pattern)
        letters = set(flags[1]) if flags else set()
        self._verbose, self._multiline = "x" in letters, "m" in letters
        body = pattern[flags.end() :] if flags else pattern
        text = "".join(self._tokens(body))
        kept = "".join(sorted(letters & set("ims")))
        return f"(?{kept}:{text})" if kept else text

    def _tokens(self, body: str) -> Iterator[str]:
        position = 0
        while position < len(body):
            token = _TOKEN.match(body, position)
            assert token is not None, "any character is a token"
            position = token.end()
            if self._verbose and token["other"] == "#":
                end = body.find("\n", position)
                position = len(body) if end < 0 else end
                continue
            yield self._token(str(token.lastgroup), token[0])

    def _token(self, kind: str, token: str) -> str:
        if kind == "escape":
            return self._escape(token)
        if kind == "comment" or (self._verbose and kind == "other" and token.isspace()):
            return ""
        if kind in ("name", "group"):
            self._groups += 1
            if kind == "name":
                self._numbers[token[token.index("<") + 1 : -1]] = self._groups
            return "("
        if kind == "reference":
            return self._reference(token[len("(?P=") : -1])
        if kind == "scope":
            return _scope(token)
        if kind == "unknown":
            raise ValueError(f"{token} is not ECMA-262")
        if kind == "any":
            return r"[\s\S]"
        if kind == "set":
            return _set(token)
        if kind == "quantifier":
            return token.replace("{,", "{0,")
        return f"\\{token}" if token in "{}]" else token

    def _reference(self, name: str) -> str:
        return rf"(?:\{self._numbers[name]})"

    def _escape(self, token: str) -> str:
        if token in (r"\A", r"\Z"):
            if self._multiline:
                raise ValueError(f"{token} among lines")
            return "^" if token == r"\A" else "$"
        if token.startswith(r"\k<"):
            return self._reference(token[3:-1])
        if token in (r"\b", r"\B") or (token[1] in "123456789" and len(token) < 4):
            return token
        return _character(token)


def _scope(token: str) -> str:
    scope = _SCOPED.fullmatch(token)
    assert scope is not None
    on = "".join(sorted(set(scope[1]) & set("ims")))
    return f"(?{on}{f'-{scope[2]}' if scope[2] else ''}:"


def _set(token: str) -> str:
    """Escape what is special within brackets in one dialect only; a hyphen beside a class stands for itself."""
    start = "[^" if token.startswith("[^") else "["
    characters = _CHARACTERS.findall(token[len(start) : -1])
    classes = [character[:2] in (r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\p", r"\P") for character in characters]
    written = []
    for place, character in enumerate(characters):
        beside = classes[max(place - 1, 0) : place + 2]
        if character == "-" and any(beside):
            written.append(r"\-")
        elif len(character) == 1:
            written.append(f"\\{character}" if character in "[]&~" and character != "~" else character)
        else:
            written.append(r"\x08" if character == r"\b" else _character(character))
    return f"{start}{''.join(written)}]"


def _character(escape: str) -> str:
    """Return an escape as ECMA-262 has it."""
    letter = escape[1]
    if letter == "N":
        return _code_point(ord(unicodedata.lookup(escape[3:-1])))
    if letter == "U":
        return _code_point(int(escape[2:], 16))
    if letter == "u" and len(escape) == 12:
        high, low = int(escape[2:6], 16), int(escape[8:], 16)
        return _code_point(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
    if letter in "01234567":
        return rf"\x{int(escape[1:], 8) & 0xFF:02x}"
    if letter == "a":
        return r"\x07"
    if letter.isascii() and letter.isalnum():
        return escape
    return escape if letter in _SPECIAL or letter == "-" else letter


def _code_point(number: int) -> str:
    return rf"\u{number:04x}" if number < 0x10000 else rf"\u{{{number:x}}}"
