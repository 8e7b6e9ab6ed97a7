"""Every recorded exchange of Kinto 26.5 comes back the same, on both databases (docs/contract/core.md)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from backends import BackendError
from tests.golden.matcher import HOST_HEADER, Matcher
from tests.support.databases import BASICAUTH, DATABASES, database_url, keep_app

EXCHANGES = Path(__file__).parent / "exchanges"

OTHER_ORDER: Mapping[str, str] = {
    "HDR-07": "a list's clock is born with its parent, not at the first visit (docs/contract/operations.md 3.1)",
}
"""Recorded exchanges whose timestamps have another order here, each with the reason."""


def _goldens() -> Iterator[dict[str, Any]]:
    for file in sorted(EXCHANGES.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            yield json.loads(line)


GOLDENS = {golden["id"]: golden for golden in _goldens()}


class Boom:
    """A storage around the real one that fails as the fault of a golden says."""

    def __init__(self, storage: Any, fault: str) -> None:
        self._storage = storage
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        if self._fault == "storage_down" and name in ("read", "transaction", "ping"):
            raise BackendError("the storage is down")
        return getattr(self._storage, name)

    def transaction(self, derived: Any = ()) -> Any:
        if self._fault == "storage_down":
            raise BackendError("the storage is down")
        return _BoomingTransaction(self._storage.transaction(derived), self._fault)


class _BoomingTransaction:
    """A transaction that fails when an object `boom` is written."""

    def __init__(self, opened: Any, fault: str) -> None:
        self._opened = opened
        self._fault = fault

    def __enter__(self) -> Any:
        writer = self._opened.__enter__()
        write = writer.write

        def refuse(changes: Any, *more: Any) -> None:
            if any(change.stored.id == "boom" for change in changes):
                raise BackendError("boom") if self._fault == "storage_refuses_id_boom" else RuntimeError("boom")
            write(changes, *more)

        writer.write = refuse
        return writer

    def __exit__(self, *raised: Any) -> Any:
        return self._opened.__exit__(*raised)


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("golden", GOLDENS.values(), ids=GOLDENS.keys())
def test_the_service_answers_as_recorded(golden: dict[str, Any], database: str, request: pytest.FixtureRequest) -> None:
    settings = {**BASICAUTH, "kinto.project_version": "26.5.0", **golden["settings"]}
    app = keep_app(database_url(database, request), settings)
    if golden.get("requires"):
        service = app.extensions["kinto"]
        service.storage = Boom(service.storage, golden["requires"].removeprefix("fault:"))
        service.heartbeats["storage"] = lambda: service.storage.ping(write=True) is None
    client, matcher = app.test_client(), Matcher()
    steps = [*golden["setup"], {"request": golden["request"], "response": golden["response"]}]

    for number, step in enumerate(steps):
        content, last = step["request"], number == len(steps) - 1
        where = "request" if last else f"setup[{number}]"
        headers = {name: str(matcher.fill(value)) for name, value in content["headers"].items()}
        payload = content["body_text"].encode() if "body_text" in content else None
        if "body" in content:
            payload = json.dumps(matcher.fill(content["body"])).encode()
        path = str(matcher.fill(content["path"]))
        answer = client.open(
            path,
            method=content["method"],
            headers={"Host": HOST_HEADER, **headers},
            data=payload,
            environ_overrides={"PATH_INFO": unquote_to_bytes(path.partition("?")[0]).decode("latin-1")},
        )
        matcher.response(where, step["response"], answer, subset=not last)
        if matcher.problems:
            break
        time.sleep(0.003)
    if golden["id"] not in OTHER_ORDER:
        matcher.order(golden.get("timestamp_order", []))

    assert matcher.problems == []
