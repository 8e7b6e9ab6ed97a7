r"""Read the patterns of JSON Schemas: ECMA-262, or Python's dialect if the syntax is valid only there.

Kinto matches with Python's `re`, so schemas that it accepted may contain `(?i)`, `(?P<name>...)`, `\A` or `\Z`. These
are translated to the syntax of ECMA-262; `\d`, `\w`, `\s` and `$` have the meaning of ECMA-262. The size of compiled
patterns is limited, and so is backtracking.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import jsonschema_rs

MAX_SIZE_BYTES: Final = 8 * 2**20
"""The most memory of a compiled pattern: `.{4000}` takes half of it."""

BACKTRACK_LIMIT: Final = 10_000
"""The most backtracking steps of a pattern that is not linear; after these it does not match."""

DFA_SIZE_BYTES: Final = 128 * 2**10
"""The most memory of a pattern while it is matched."""

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
    """A pattern for validators with an upper bound of its compiled size; `linear`: it matches in linear time.

    `text` is None if the pattern is valid in no dialect or too large.
    """

    text: str | None
    size_bytes: int
    linear: bool = True


def read_pattern(pattern: str, max_bytes: int = MAX_SIZE_BYTES) -> Pattern:
    """Return a pattern that compiles in at most *max_bytes*. The effort is bounded by the size that is returned."""
    size = 0
    for text in dict.fromkeys(_spellings(pattern)):
        backtracks = _BACKTRACKS.search(text) is not None
        if not _compiles(_REPEATED.sub("?", text), _SIZES_BYTES[-3], backtracks=backtracks):
            continue
        for size in _SIZES_BYTES:
            if size > max_bytes:
                return Pattern(None, max(max_bytes, 0))
            if _compiles(text, size, backtracks=False):
                return Pattern(text, size)
            if backtracks and _compiles(text, size, backtracks=True):
                return Pattern(text, size, linear=False)
    return Pattern(None, size)


def pattern_options() -> jsonschema_rs.FancyRegexOptions:
    """Return the limits with which validators compile patterns."""
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
    """Yield a pattern read as ECMA-262, then as Python's dialect."""
    # The library reads `\<` and `\>` as word boundaries.
    yield _MARKS.sub(r"\1\2", pattern)
    try:
        yield _Translation().translate(pattern)
    except (ValueError, KeyError):
        return


class _Translation:
    """Translate one pattern from Python's dialect to ECMA-262; untranslatable syntax is a ValueError or KeyError."""

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
        modifiers = "".join(sorted(letters & set("ims")))
        return f"(?{modifiers}:{text})" if modifiers else text

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
        match kind:
            case "escape":
                return self._escape(token)
            case "name" | "group":
                return self._group(token, has_name=kind == "name")
            case "reference":
                return self._reference(token[len("(?P=") : -1])
            case "other" if self._verbose and token.isspace():
                return ""
            case _:
                return _TRANSLATIONS[kind](token)

    def _group(self, token: str, *, has_name: bool) -> str:
        self._groups += 1
        if has_name:
            self._numbers[token[token.index("<") + 1 : -1]] = self._groups
        return "("

    def _reference(self, name: str) -> str:
        return rf"(?:\{self._numbers[name]})"

    def _escape(self, token: str) -> str:
        if token in (r"\A", r"\Z"):
            if self._multiline:
                raise ValueError(f"{token} with the flag m")
            return "^" if token == r"\A" else "$"
        if token.startswith(r"\k<"):
            return self._reference(token[3:-1])
        if token in (r"\b", r"\B") or (token[1] in "123456789" and len(token) < 4):
            return token
        return _character(token)


def _unknown(token: str) -> str:
    raise ValueError(f"{token} is not ECMA-262")


def _other(token: str) -> str:
    return f"\\{token}" if token in "{}]" else token


def _scope(token: str) -> str:
    scope = _SCOPED.fullmatch(token)
    assert scope is not None
    on = "".join(sorted(set(scope[1]) & set("ims")))
    return f"(?{on}{f'-{scope[2]}' if scope[2] else ''}:"


def _set(token: str) -> str:
    """Escape characters that are special in the brackets of one dialect only; a hyphen beside a class is literal."""
    start = "[^" if token.startswith("[^") else "["
    characters = _CHARACTERS.findall(token[len(start) : -1])
    classes = [character[:2] in (r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\p", r"\P") for character in characters]
    parts = []
    for place, character in enumerate(characters):
        neighbours = classes[max(place - 1, 0) : place + 2]
        if character == "-" and any(neighbours):
            parts.append(r"\-")
        elif len(character) == 1:
            parts.append(f"\\{character}" if character in "[]&~" and character != "~" else character)
        else:
            parts.append(r"\x08" if character == r"\b" else _character(character))
    return f"{start}{''.join(parts)}]"


def _character(escape: str) -> str:
    """Translate an escape to ECMA-262."""
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


_TRANSLATIONS: Final[Mapping[str, Callable[[str], str]]] = {
    "comment": lambda _: "",
    "scope": _scope,
    "around": _other,
    "unknown": _unknown,
    "any": lambda _: r"[\s\S]",
    "set": _set,
    "quantifier": lambda token: token.replace("{,", "{0,"),
    "other": _other,
}
"""The translations of tokens that do not depend on the rest of the pattern, by their kind."""
