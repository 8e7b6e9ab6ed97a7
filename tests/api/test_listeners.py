"""Listeners that settings name (docs/contract/plugins.md 3.2)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, event

from app.events import Context, Event, Listener
from app.factory import create_app
from app.operation import Effect
from app.settings import SettingError
from backends.storage import Stored
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support import listening
from tests.support.client import Client, user_id
from tests.support.databases import BASICAUTH, new_app
from tests.support.services import free_port
from tests.support.statements import Recorder

B = "/buckets/b"
C = f"{B}/collections/c"
EAR = {"kinto.event_listeners": "ear", "kinto.event_listeners.ear.use": "tests.support.listening"}


@pytest.fixture(autouse=True)
def ears() -> Iterator[None]:
    """Start each test with nothing heard."""
    listening.heard.clear()
    yield
    listening.heard.clear()


def heard() -> list[tuple[str, str]]:
    """Return action and kind of what the module was told."""
    return [(payload["action"], payload["resource_name"]) for _, payload, _ in listening.heard]


@on_sqlite
def test_a_listener_in_the_shape_of_the_tutorial_hears_of_a_change(client_with: ClientMaker) -> None:
    """P-EVT-8, P-EVT-10."""
    client = client_with(EAR)

    client.put(B, {"a": 1})

    ((user, payload, impacts),) = listening.heard
    assert (user, payload["uri"], impacts[0]["new"]["a"]) == (user_id("alice"), B, 1)


@on_sqlite
def test_a_listener_finds_its_settings_of_file_and_environment(
    client_with: ClientMaker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-EVT-8, P-EVT-10, P-EVT-13."""
    monkeypatch.setenv("KINTO_EVENT_LISTENERS_EAR_COLOUR", "red")

    with caplog.at_level(logging.INFO):
        client_with({**EAR, "kinto.event_listeners.ear.size": "12"})

    assert "Setting up 'ear' listener" in caplog.messages
    assert listening.made_from["prefix"] == "event_listeners.ear."
    assert listening.made_from["event_listeners.ear.size"] == 12
    assert listening.made_from["event_listeners.ear.colour"] == "red"


@on_sqlite
def test_a_listener_is_named_by_its_module_alone(client_with: ClientMaker) -> None:
    """P-EVT-8."""
    client = client_with({"kinto.event_listeners": "tests.support.listening"})

    client.put(B)

    assert heard() == [("create", "bucket")]
    assert listening.made_from["prefix"] == "event_listeners.listening."


CHOICES: dict[str, tuple[dict[str, str], list[tuple[str, str]]]] = {
    "changes of all kinds by default": (
        {},
        [("create", "bucket"), ("create", "collection"), ("update", "bucket"), ("delete", "collection")],
    ),
    "reads on demand": ({"actions": "read"}, [("read", "bucket")]),
    "the actions named": (
        {"actions": "create delete"},
        [("create", "bucket"), ("create", "collection"), ("delete", "collection")],
    ),
    "changes of all kinds if nothing is named": (
        {"actions": "", "resources": ""},
        [("create", "bucket"), ("create", "collection"), ("update", "bucket"), ("delete", "collection")],
    ),
    "the resources named": ({"resources": "bucket group"}, [("create", "bucket"), ("update", "bucket")]),
}


@on_sqlite
@pytest.mark.parametrize("place", ["file", "environment"])
@pytest.mark.parametrize(("options", "expected"), CHOICES.values(), ids=CHOICES.keys())
def test_a_listener_hears_of(
    client_with: ClientMaker,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, str],
    expected: list[tuple[str, str]],
    place: str,
) -> None:
    """C-EVT-13, P-EVT-8, P-EVT-9."""
    settings = dict(EAR)
    for name, value in options.items():
        if place == "file":
            settings[f"kinto.event_listeners.ear.{name}"] = value
        else:
            monkeypatch.setenv(f"KINTO_EVENT_LISTENERS_EAR_{name.upper()}", value)
    client = client_with(settings)

    client.put(B)
    client.put(C)
    client.patch(B, {"a": 1})
    client.get(B)
    client.delete(C)

    assert heard() == expected


@pytest.mark.parametrize(("name", "value"), [("pool_size", "2.5x"), ("pool_timeout", "soon"), ("moment", "later")])
def test_a_start_is_refused_with_a_setting_of_the_redis_listener(name: str, value: str) -> None:
    prefix = "kinto.event_listeners.redis"
    settings = {"kinto.event_listeners": "redis", f"{prefix}.use": "kinto_redis.listeners", f"{prefix}.{name}": value}

    with pytest.raises(SettingError, match=rf"event_listeners\.redis\.use: .* the setting {name} is "):
        create_app(settings)


@on_sqlite
def test_listeners_hear_of_events_in_the_order_of_the_setting(
    client_with: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """P-EVT-8."""
    names = ["one", "two", "three"]
    uses = {f"kinto.event_listeners.{name}.use": "tests.support.listening" for name in names}

    with caplog.at_level(logging.INFO):
        client_with({"kinto.event_listeners": " ".join(names), **uses})

    assert [line for line in caplog.messages if "listener" in line] == [
        f"Setting up '{name}' listener" for name in names
    ]


@pytest.mark.parametrize("use", ["tests.nowhere", "tests.support.client"], ids=["is not there", "is no listener"])
def test_a_start_is_refused_when_the_module(use: str) -> None:
    with pytest.raises(SettingError, match=r"event_listeners\.ear\.use"):
        create_app({"kinto.event_listeners": "ear", "kinto.event_listeners.ear.use": use})


def test_a_listener_is_told_once_when_the_last_statements_meet_a_deadlock(postgresql_url: str) -> None:
    """P-EVT-10: on PostgreSQL they wait for the COMMIT, which is sent alone where a listener is told before it."""
    client = Client(new_app(postgresql_url, {**BASICAUTH, **EAR}))
    client.put(B)
    listening.heard.clear()
    tries: list[int] = []

    def fail(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        tries.extend([1] * ("INSERT INTO documents" in statement))
        if len(tries) > 2 or "INSERT INTO documents" not in statement:
            return statement, parameters
        return "DO $$ BEGIN RAISE EXCEPTION 'no luck' USING ERRCODE = '40P01'; END $$", ()

    writing = client.app.extensions["kinto"].storage.writing
    event.listen(writing, "before_cursor_execute", fail, retval=True)
    answer = client.put(C)
    event.remove(writing, "before_cursor_execute", fail)

    assert (answer.status, len(tries)) == (201, 3)
    assert heard() == [("create", "collection")]


def test_a_listener_is_told_once_when_a_lock_is_missing(client_with: ClientMaker) -> None:
    """P-EVT-10: grants to the deleted group end in a list that the first try has not locked."""
    client, tries = client_with(EAR, kept=False), list[str]()
    client.put(B)
    client.put(f"{B}/groups/g", {"members": []})
    client.put("/buckets/a", permissions={"read": [f"{B}/groups/g"]})
    listening.heard.clear()
    count = Listener(before=lambda change, context: tries.append(change.action))
    client.app.extensions["kinto"].add_listener(count)

    assert client.delete(f"{B}/groups/g").status == 200

    assert tries == ["delete", "delete"]
    assert heard() == [("delete", "group")]


def test_a_listener_is_told_of_what_other_listeners_write_and_adds_no_statement(client_with: ClientMaker) -> None:
    """P-EVT-6, P-EVT-8: it is called after the plugins, when everything is written."""
    client, sent = client_with(EAR, kept=False), dict[int, int]()
    client.put(B)
    service, recorder = client.app.extensions["kinto"], Recorder(keeping=True)

    def write(change: Event, context: Context) -> None:
        stamp = context.stamp(f"{B}/groups") if change.kind.name == "collection" else None
        if stamp:
            text = f'{{"id":"g{stamp}","last_modified":{stamp},"members":[]}}'
            group = Stored(f"{B}/groups/g{stamp}", stamp, deleted=False, born=stamp, text=text)
            context.apply(Effect(service.kinds["group"], group, None, {}, stamp))

    service.add_listener(Listener(before=write))
    listening.heard.clear()
    client.put(C)
    assert heard() == [("create", "collection"), ("create", "group")]

    listeners = list(service.notifier.listeners)
    for which in (listeners, listeners[1:]):
        service.notifier.listeners[:] = which
        recorder.sent.clear()
        event.listen(Engine, "before_cursor_execute", recorder)
        client.put(C)
        event.remove(Engine, "before_cursor_execute", recorder)
        sent[len(which)] = len(recorder.sent)

    assert sent[2] == sent[1]


def queueing(url: str, **options: str) -> dict[str, str]:
    """Return the settings of a Redis listener."""
    settings = {"use": "kinto_redis.listeners", "url": url, "listname": "queue", **options}
    return {
        "kinto.event_listeners": "redis",
        **{f"kinto.event_listeners.redis.{name}": settings[name] for name in settings},
    }


@pytest.fixture
def queue(redis_url: str) -> Iterator[Any]:
    """Give a client of an empty Redis."""
    client = redis.Redis.from_url(redis_url)
    client.flushdb()
    yield client
    client.close()


def test_the_payload_is_pushed_to_redis_after_the_commit(client_with: ClientMaker, redis_url: str, queue: Any) -> None:
    """P-EVT-11."""
    client = client_with(queueing(redis_url))

    client.put(B)
    client.put(C)

    pushed = [json.loads(text) for text in queue.lrange("queue", 0, -1)]
    assert [payload["uri"] for payload in pushed] == [C, B]
    assert pushed[1] == {
        "timestamp": client.get(B).etag,
        "action": "create",
        "uri": B,
        "user_id": client.id,
        "resource_name": "bucket",
        "bucket_id": "b",
    }


@pytest.mark.parametrize(("moment", "pushed"), [("after", 0), ("before", 1)])
def test_redis_hears_of_what_was_rolled_back_only_when_told_before(
    client_with: ClientMaker, redis_url: str, queue: Any, moment: str, pushed: int
) -> None:
    """P-EVT-11."""
    both = {**queueing(redis_url, moment=moment), **EAR, "kinto.event_listeners": "redis ear"}
    client = client_with({**both, "kinto.event_listeners.ear.fails": "true"})

    assert client.put(B).status == 500

    assert queue.llen("queue") == pushed


@pytest.mark.parametrize("moment", ["after", "before"])
def test_a_request_succeeds_when_redis_is_not_there(
    client_with: ClientMaker, caplog: pytest.LogCaptureFixture, moment: str
) -> None:
    """P-EVT-11."""
    client = client_with(queueing(f"redis://127.0.0.1:{free_port()}/0", moment=moment))

    assert client.put(B).status == 201

    assert "Unable to send the payload to Redis" in caplog.messages


@pytest.mark.parametrize("moment", ["after", "before"])
def test_a_request_succeeds_when_redis_is_full(
    client_with: ClientMaker, redis_url: str, queue: Any, caplog: pytest.LogCaptureFixture, moment: str
) -> None:
    """P-EVT-11: with the policy `noeviction` it refuses writes above `maxmemory`; it is used again when it has room."""
    client = client_with(queueing(redis_url, moment=moment))
    queue.config_set("maxmemory", 1)
    try:
        answer = client.batch(*({"method": "PUT", "path": path} for path in (B, C)))
    finally:
        queue.config_set("maxmemory", 0)

    assert [each["status"] for each in answer.json["responses"]] == [201, 201]
    assert caplog.messages.count("Unable to send the payload to Redis") == 2
    assert queue.llen("queue") == 0
    assert client.put(B).status == 200
    assert queue.llen("queue") == 1
