"""The keywords of compiled schemas that this project implements: they match patterns and report unusable parts.

The validator calls a keyword for each value that the keyword applies to. `STATE` carries the budget of one validation
and the reason for which it cannot be decided, since a keyword can only accept a value or raise ValueError.
"""

from __future__ import annotations

import threading
from typing import Any, Final

import jsonschema_rs

from app.schemas.patterns import BACKTRACK_LIMIT, DFA_SIZE_BYTES, Pattern, pattern_options, read_pattern
from app.schemas.references import PATTERN, UNUSABLE
from backends import Json

MAX_SCHEMA_BYTES: Final = 32 * 2**20
"""The most memory of one compiled schema, by an estimate that is rather too high."""

MAX_MATCHING: Final = 200_000_000_000
"""The limit of pattern bytes times document characters in a validation: seconds at the worst, usually nothing."""

SUBSCHEMA_BYTES: Final = 2_048

_COPIES: Final = 2
"""The number of automatons for a pattern: forward and reverse."""

_BACKTRACKING_BYTES: Final = 400


class Undecidable(Exception):
    """A validation that was abandoned; the message is the reason."""


class _ValidationState(threading.local):
    """The state of the validation that this thread runs: the remaining budget, and the reason of a failure."""

    budget: int = 0
    reason: str | None = None

    def start(self) -> None:
        self.budget, self.reason = MAX_MATCHING, None

    def abandon(self, reason: str) -> ValueError:
        self.reason = self.reason or reason
        return ValueError(reason)


STATE: Final = _ValidationState()


class PatternKeywords:
    """The patterns of a schema: compiled within one size limit for all, and rewritten as keywords of this project."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.unusable_pattern: str | None = None
        self._patterns: dict[str, Pattern] = {}

    def rewrite(self, schema: Json) -> int:
        """Rewrite the patterns of a subschema in place; return the cost of its `patternProperties` per character."""
        pattern, by_pattern = schema.get("pattern"), schema.get("patternProperties")
        if isinstance(pattern, str):
            del schema["pattern"]
            schema |= {UNUSABLE: _reason(pattern)} if self._pattern(pattern).text is None else {PATTERN: pattern}
        if not isinstance(by_pattern, dict):
            return 0
        by_text: dict[str, Json] = {}
        for name, subschema in by_pattern.items():
            text = self._pattern(name).text
            if text is None:
                schema[UNUSABLE] = _reason(name)
            else:
                # Patterns of two dialects may have the same text: an empty group keeps them apart.
                by_text[text + "(?:)" * (text in by_text)] = subschema
        schema["patternProperties"] = by_text
        return sum(_cost(self._pattern(name)) for name in by_pattern)

    def _pattern(self, text: str) -> Pattern:
        if text not in self._patterns:
            self.size_bytes += SUBSCHEMA_BYTES
            remaining_bytes = MAX_SCHEMA_BYTES - self.size_bytes - DFA_SIZE_BYTES
            pattern = self._patterns[text] = read_pattern(text, remaining_bytes // _COPIES)
            self.size_bytes += _COPIES * pattern.size_bytes + min(DFA_SIZE_BYTES, 4 * pattern.size_bytes)
            if pattern.text is None and self.unusable_pattern is None:
                self.unusable_pattern = text
        return self._patterns[text]

    def keywords(self) -> dict[str, Any]:
        """Return the keywords for patterns and unusable parts, and annotations that assert nothing.

        The type is loose because the protocol of keywords exists for type checkers only.
        """
        matchers = {
            text: (_cost(pattern), _matcher(pattern.text))
            for text, pattern in self._patterns.items()
            if pattern.text is not None
        }

        class Matching(_Keyword):
            """The keyword `pattern`, which charges each match to the budget of the validation."""

            def __init__(self, parent_schema: Json, value: str, schema_path: list[str | int]) -> None:
                super().__init__(parent_schema, value, schema_path)
                self.cost, self.matcher = matchers[value]

            def validate(self, instance: Json) -> None:
                """Raise ValueError if a string does not match."""
                if not isinstance(instance, str):
                    return
                STATE.budget -= self.cost * len(instance)
                if STATE.budget < 0:
                    raise STATE.abandon("The schema is too complex for this object")
                if not self.matcher.is_valid(instance):
                    raise ValueError("does not match")

        return {
            PATTERN: Matching,
            UNUSABLE: _Unusable,
            "contentMediaType": _Annotation,
            "contentEncoding": _Annotation,
        }


class _Keyword:
    """A keyword with a value that accepts any instance."""

    def __init__(self, _parent_schema: Json, value: Json, _schema_path: list[str | int]) -> None:
        self.value = value

    def validate(self, _instance: Json) -> None:
        """Accept any instance."""


class _Annotation(_Keyword):
    """An annotation, which asserts nothing: drafts 6 and 7 leave `content...` optional (as C-SCH-14)."""


class _Unusable(_Keyword):
    """A part of a schema that no object can be validated against: a reference to nowhere, a pattern of no dialect."""

    def validate(self, _instance: Json) -> None:
        """Abandon the validation."""
        raise STATE.abandon(self.value)


def _reason(pattern: str) -> str:
    return f"The pattern '{pattern}' cannot be used"


def _matcher(text: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft7Validator({"pattern": text}, pattern_options=pattern_options())


def _cost(pattern: Pattern) -> int:
    if pattern.linear:
        return pattern.size_bytes
    return BACKTRACK_LIMIT * max(_BACKTRACKING_BYTES, pattern.size_bytes // 160)
