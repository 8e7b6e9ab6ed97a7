"""Listeners that change, replace and delete objects, and those that would break the data (plugins contract, 1.3)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from flask import Flask

from app.identity import ANONYMOUS
from app.service import Service
from blueprints.plugins import Body, Context, Effect, Event, Listener, Operation, Stored, perform
from tests.plugins.conftest import MakeClient
from tests.support.client import Client

B = "/buckets/b"
RECORDS = f"{B}/collections/c/records"
COUNTER = f"{RECORDS}/counter"

Write = Callable[[Service, Context], object]


def put(service: Service, context: Context, uri: str, data: dict[str, int], kind: str = "record") -> None:
    """Write an object with the permissions that it has."""
    timestamp = context.stamp(uri.rpartition("/")[0])
    assert timestamp is not None
    text = json.dumps({**data, "id": uri.rpartition("/")[2], "last_modified": timestamp})
    new = Stored(uri, timestamp, deleted=False, born=timestamp, text=text)
    context.apply(Effect(service.kinds[kind], new, None, context.permissions([uri])[uri], timestamp))


def delete(service: Service, context: Context, uri: str, kind: str) -> None:
    timestamp = context.stamp(uri.rpartition("/")[0])
    assert timestamp is not None
    tombstone = json.dumps({"id": uri.rpartition("/")[2], "last_modified": timestamp, "deleted": True})
    new = Stored(uri, timestamp, deleted=True, born=timestamp, text=tombstone)
    context.apply(Effect(service.kinds[kind], new, None, {}, timestamp))


def increment(service: Service, context: Context) -> None:
    """Count in a record."""
    context.stamp(RECORDS)
    counter = context.read(COUNTER)
    number = counter.data()["number"] if counter else 0
    assert isinstance(number, int)
    put(service, context, COUNTER, {"number": number + 1})


def client_with_listener(client_of: MakeClient, write: Write, kind: str = "group") -> Client:
    """Return a client of a bucket with a collection, in which a listener writes for each event of a kind."""

    def attach(app: Flask, service: Service) -> None:
        def listen(event: Event, context: Context) -> None:
            write(service, context)

        service.add_listener(Listener(before=listen, kinds=frozenset({kind})))

    client = client_of(attach)
    client.put(B)
    client.put(f"{B}/collections/c")
    return client


def test_a_listener_changes_an_object_and_keeps_its_permissions(client_of: MakeClient) -> None:
    """The list counts it once, although the listener did not say what was there."""
    client = client_with_listener(client_of, increment)
    bob = client.as_("bob")

    client.put(f"{B}/groups/g")
    client.patch(COUNTER, permissions={"read": [bob.id]})
    client.batch(
        {"method": "PUT", "path": COUNTER, "body": {"data": {"number": 10}}},
        *({"method": method, "path": f"{B}/groups/g"} for method in ("PUT", "DELETE")),
    )

    assert bob.get(COUNTER).data["number"] == 12
    assert client.head(RECORDS).headers["Total-Objects"] == "1"
    assert [each["id"] for each in client.get(f"{RECORDS}?_since=0").data] == ["counter"]


def test_a_deletion_by_a_listener_ends_the_grants(client_of: MakeClient) -> None:
    client = client_with_listener(client_of, lambda service, context: delete(service, context, COUNTER, "record"))
    bob = client.as_("bob")
    client.put(COUNTER, {}, {"read": [bob.id]})

    client.put(f"{B}/groups/g")

    assert client.get(f"{RECORDS}?_since=0").data[0]["deleted"] is True
    assert client.head(RECORDS).headers["Total-Objects"] == "0"
    client.put(COUNTER)
    assert bob.get(COUNTER).status == 403


@pytest.mark.parametrize("moment", ["rule", "when_written"])
@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda context: context.stamp(RECORDS), id="takes a timestamp"),
        pytest.param(lambda context: context.append(f"{B}/history", "x", {}, {}), id="appends"),
        pytest.param(lambda context: context.revoke("system.Everyone"), id="revokes"),
        pytest.param(lambda context: context.when_written(print), id="waits"),
    ],
)
def test_when_everything_is_written_nothing_can_be_changed(
    client_of: MakeClient, caplog: pytest.LogCaptureFixture, moment: str, write: Callable[[Context], None]
) -> None:
    """Before, such a change was lost silently."""

    def attach(app: Flask, service: Service) -> None:
        if moment == "rule":
            service.add_rule(lambda effects, context: write(context))
        else:
            service.add_listener(Listener(before=lambda _, context: context.when_written(lambda: write(context))))

    answer = client_of(attach).put(B)

    assert (answer.status, "Everything is written" in caplog.text) == (500, True)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(
            lambda service, context: put(service, context, f"{B}/clouds/x", {}),
            f"{B}/clouds is no list of any kind",
            id="to an unknown list",
        ),
        pytest.param(
            lambda service, context: put(service, context, f"{B}/groups/x", {}),
            f"{B}/groups/x is no record",
            id="another kind",
        ),
        pytest.param(
            lambda service, context: delete(service, context, f"{B}/collections/c", "collection"),
            f"A listener cannot delete {B}/collections/c",
            id="deleting what contains objects",
        ),
        pytest.param(
            lambda service, context: put(service, context, f"{B}/groups/y", {}, "group"),
            "after 50 rounds",
            id="that causes itself",
        ),
        pytest.param(
            lambda service, context: perform(service, [Operation("DELETE", service.kinds.match(B), ANONYMOUS)]),
            "listeners by their context",
            id="by a request",
        ),
    ],
)
def test_a_listener_that_would_break_the_data_fails_the_request(
    client_of: MakeClient, caplog: pytest.LogCaptureFixture, write: Write, message: str
) -> None:
    client = client_with_listener(client_of, write)

    answer = client.put(f"{B}/groups/g")

    assert answer.status == 500
    assert message in caplog.text
    assert client.get(f"{B}/groups").data == []
    assert [each["id"] for each in client.get(f"{B}/collections").data] == ["c"]


def test_a_listener_after_the_commit_that_notifies_itself_is_stopped(
    client_of: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Kinto goes on until the client gives up. The second request is not counted with the first."""

    def attach(app: Flask, service: Service) -> None:
        def copy(event: Event) -> None:
            route = service.kinds.match(f"{event.operation.route.uri}0")
            assert route is not None
            perform(service, [Operation("PUT", route, event.operation.identity, body=Body({}, {}))])

        service.add_listener(Listener(after=copy, kinds=frozenset({"group"})))

    client = client_of(attach)
    client.put(B)

    statuses = [client.put(f"{B}/groups/{name}").status for name in ("g", "h")]

    assert statuses == [201, 201]
    assert caplog.text.count("RuntimeError: Listeners still cause changes after 20 rounds") == 2
    assert len(client.get(f"{B}/groups").data) == 2 * 21
