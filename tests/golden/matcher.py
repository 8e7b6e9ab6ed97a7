"""Compare answers with recorded ones: placeholders stand for what differs from run to run (exchanges/README.md)."""

from __future__ import annotations

import contextlib
import email.utils
import json
import re
import urllib.parse
from collections.abc import Mapping, Sequence

from werkzeug.wrappers import Response

from backends import Json
from tests.support.client import basic, user_id

HOST_HEADER = "golden.test"
DROPPED_HEADERS = {"date", "server", "content-length", "connection", "via", "transfer-encoding"}
FREE_HEADERS = {"Vary", "X-Request-Id"}
SORTED_HEADERS = {"access-control-expose-headers", "access-control-allow-headers", "allow"}
CANONICAL = {"etag": "ETag", "www-authenticate": "WWW-Authenticate"}


def canonical(name: str) -> str:
    """Return the name of a header as the recordings spell it."""
    low = name.lower()
    return CANONICAL.get(low, "-".join(part.capitalize() for part in low.split("-")))


PLACE = re.compile(r"\{\{([^{}]+)\}\}")


class Matcher:
    """Compares actual values with recorded ones, binding placeholders as it goes."""

    def __init__(self) -> None:
        self.bound: dict[str, Json] = {}
        self.problems: list[str] = []

    def fail(self, where: str, message: str) -> None:
        self.problems.append(f"{where}: {message}")

    # placeholders in requests ------------------------------------------------
    def value_of(self, name: str) -> Json:
        if name.startswith("user:"):
            return user_id(name[5:])
        if name.startswith("basic:"):
            return basic(name[6:])
        if name == "host":
            return HOST_HEADER
        if name in self.bound:
            return self.bound[name]
        derived = re.fullmatch(r"(ts:\d+)([+-]\d+)", name)
        if derived and derived.group(1) in self.bound:
            return int(self.bound[derived.group(1)]) + int(derived.group(2))
        raise KeyError(name)

    def fill(self, value: Json) -> Json:
        if isinstance(value, str):
            whole = PLACE.fullmatch(value)
            if whole:
                return self.value_of(whole.group(1))
            return PLACE.sub(
                lambda m: (
                    urllib.parse.quote(str(self.value_of(m.group(1))), safe=":/")
                    if m.group(1).startswith("token")
                    else str(self.value_of(m.group(1)))
                ),
                value,
            )
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        if isinstance(value, dict):
            return {self.fill(k): self.fill(v) for k, v in value.items()}
        return value

    # placeholders in responses -------------------------------------------------
    def bind(self, name: str, actual: Json) -> bool:
        try:
            return str(self.value_of(name)) == str(actual)
        except KeyError:
            self.bound[name] = actual
            return True

    def text(self, where: str, expected: str, actual: Json) -> None:
        if not isinstance(actual, str):
            self.fail(where, f"expected text {expected!r}, got {actual!r}")
            return
        names, pattern, last = [], "", 0
        for match in PLACE.finditer(expected):
            pattern += re.escape(expected[last : match.start()])
            name = match.group(1)
            names.append(name)
            pattern += r"(\d+)" if name.startswith("ts:") else r"(.+?)"
            last = match.end()
        pattern += re.escape(expected[last:])
        if expected.startswith("Invalid JSON: "):
            pattern = "Invalid JSON: .+"  # the parser's own words are free (core contract, "Exactness of texts")
        matched = re.fullmatch(pattern, actual, re.S)
        if not matched:
            self.fail(where, f"expected {expected!r}, got {actual!r}")
            return
        for name, value in zip(names, matched.groups(), strict=True):
            if name.startswith("token:"):
                value = urllib.parse.unquote(value)
            if not self.bind(name, value):
                self.fail(where, f"{{{{{name}}}}} was {self.bound.get(name)!r}, now {value!r}")

    def json(self, where: str, expected: Json, actual: Json, key: str | None = None) -> None:
        if isinstance(expected, str):
            self._json_text(where, expected, actual)
        elif isinstance(expected, dict):
            self._json_object(where, expected, actual)
        elif isinstance(expected, list):
            self._json_array(where, expected, actual, key)
        elif type(expected) is not type(actual) or expected != actual:
            self.fail(where, f"expected {expected!r}, got {actual!r}")

    def _json_text(self, where: str, expected: str, actual: Json) -> None:
        whole = PLACE.fullmatch(expected)
        if not (whole and whole[1].startswith("ts:") and isinstance(actual, int)):
            self.text(where, expected, actual)
        elif not self.bind(whole[1], actual):
            self.fail(where, f"{expected} was {self.bound.get(whole[1])}, now {actual}")

    def _json_object(self, where: str, expected: Mapping[str, Json], actual: Json) -> None:
        if not isinstance(actual, dict) or set(self.keys(expected)) != set(actual):
            self.fail(where, f"expected {expected!r}, got {actual!r}")
            return
        for name, value in expected.items():
            if name == "headers" and "status" in expected:
                self.headers(f"{where}.headers", value, list(actual[name].items()), subset=True)
            else:
                self.json(f"{where}.{name}", value, actual[self.fill_key(name)], key=name)

    def _json_array(self, where: str, expected: Sequence[Json], actual: Json, key: str | None) -> None:
        if not isinstance(actual, list) or len(expected) != len(actual):
            self.fail(where, f"expected {expected!r}, got {actual!r}")
            return
        unordered = key in ("permissions", "principals") or ".permissions." in where + "."
        if unordered and all(isinstance(value, str) for value in expected):
            filled = sorted(str(self.fill(value)) for value in expected)
            if filled != sorted(str(value) for value in actual):
                self.fail(where, f"expected {filled!r}, got {actual!r}")
            return
        for position, pair in enumerate(zip(expected, actual, strict=True)):
            self.json(f"{where}[{position}]", *pair)

    def keys(self, expected: Mapping[str, Json]) -> list[str]:
        return [self.fill_key(k) for k in expected]

    def fill_key(self, key: str) -> str:
        return str(self.fill(key)) if "{{" in key else key

    def headers(
        self, where: str, expected: Mapping[str, str], pairs: Sequence[tuple[str, str]], *, subset: bool = False
    ) -> None:
        actual: dict[str, str] = {}
        for name, value in pairs:
            if name.lower() not in DROPPED_HEADERS:
                name = canonical(name)
                actual[name] = actual[name] + ", " + value if name in actual else value
        for name, value in expected.items():
            if name in actual:
                self._header(where, name, value, actual)
            else:
                self.fail(where, f"header {name} missing")
        if not subset:
            for name in set(actual) - set(expected) - FREE_HEADERS:
                self.fail(where, f"unexpected header {name}: {actual[name]}")

    def _header(self, where: str, name: str, expected: str, headers: Mapping[str, str]) -> None:
        value = headers[name]
        if name.lower() in SORTED_HEADERS:
            value = ", ".join(sorted(part.strip() for part in value.split(",") if part.strip()))
        if expected == "{{http_date_of_etag}}":
            seconds = int(headers.get("ETag", '"0"').strip('"')) // 1000
            if email.utils.parsedate_to_datetime(value).timestamp() != seconds:
                self.fail(where, f"Last-Modified {value} does not match ETag")
        elif "{{date+" in expected or expected == "{{http_date}}":
            email.utils.parsedate_to_datetime(value)
        else:
            self.text(f"{where}.{name}", expected, value)

    def response(self, where: str, expected: Mapping[str, Json], actual: Response, *, subset: bool = False) -> None:
        body = actual.get_data()
        if actual.status_code != expected["status"]:
            self.fail(where, f"status {actual.status_code}, expected {expected['status']} ({body[:300]!r})")
            return
        self.headers(where, expected["headers"], list(actual.headers.items()), subset=subset)
        if expected.get("body_empty"):
            if body:
                self.fail(where, f"expected an empty body, got {body[:200]!r}")
        elif "body" in expected:
            try:
                self.json(where, expected["body"], json.loads(body))
            except ValueError:
                self.fail(where, f"body is not JSON: {body[:200]!r}")
        # body_text is informative only: such bodies are free.

    def order(self, names: Sequence[str]) -> None:
        values = []
        for name in names:
            with contextlib.suppress(KeyError):
                values.append(int(self.value_of(name)))
        if values != sorted(values):
            self.fail("timestamp_order", f"{names} gave {values}")
