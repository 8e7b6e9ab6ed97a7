"""What requests send to StatsD: every name of the production guide, and when (operations contract, 5.1 to 5.3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import Any

import pytest
from flask import Response

from app.factory import create_app, create_service
from app.service import Service
from app.settings import SettingError, load
from backends.metrics import batcher
from backends.storage.sql import SqlStorage
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client, basic, user_id
from tests.support.databases import BASICAUTH
from tests.support.statsd_server import Line, StatsdServer, statsd_server

BUCKET = "/buckets/b"
COLLECTION = f"{BUCKET}/collections/c"
GROUP = f"{BUCKET}/groups/g"
LIST = f"{COLLECTION}/records"
RECORD = f"{LIST}/r"

Ask = Callable[[Client], Answer]


@pytest.fixture(scope="module")
def _listening() -> Iterator[StatsdServer]:
    with statsd_server() as listening:
        yield listening


@pytest.fixture
def server(_listening: StatsdServer) -> StatsdServer:
    """Return a server that has no packets; its URL stays the same, so that applications are shared."""
    _listening.packets()
    return _listening


@pytest.fixture
def client(client_with: ClientMaker, server: StatsdServer) -> Client:
    """Return alice's client of a service that sends to the server; there is one object of each kind."""
    made = _filled(client_with({"kinto.statsd_url": server.url, "kinto.experimental_permissions_endpoint": True}))
    server.packets()
    return made


@pytest.fixture
def only_when_asked(client: Client, server: StatsdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no thread send a batch while a request is answered, however long that takes."""
    monkeypatch.setattr(batcher.Batcher, "_wake", lambda self: None)
    while any(each._awake and not each._closed for each in batcher._all):
        time.sleep(0.01)
    server.packets()


def _filled(client: Client) -> Client:
    client.put(BUCKET)
    client.put(COLLECTION)
    client.put(GROUP, {"members": ["bob", "carol"]})
    client.put(RECORD, {"n": 1})
    return client


def _heartbeat(client: Client) -> Answer:
    return client.get("/__heartbeat__")


def _deletes_page_by_page(client: Client) -> Answer:
    """Delete with a token, which the cache keeps and gives back."""
    client.put(f"{LIST}/other")
    first = client.delete(f"{LIST}?_limit=1")
    return client.delete(first.headers["Next-Page"].partition("/v1")[2])


SERVICES: dict[str, tuple[Ask, str]] = {
    "the hello view": (lambda c: c.get("/"), "view.hello.GET"),
    "a heartbeat": (_heartbeat, "view.heartbeat.GET"),
    "a heartbeat for load balancers": (lambda c: c.get("/__lbheartbeat__"), "view.lbheartbeat.GET"),
    "the version": (lambda c: c.get("/__version__"), "view.version.GET"),
    "contribute.json": (lambda c: c.get("/contribute.json"), "view.contribute.GET"),
    "the OpenAPI document": (lambda c: c.get("/__api__"), "view.openapi.GET"),
    "the permissions": (lambda c: c.get("/permissions"), "view.permissions.GET"),
    "a batch": (lambda c: c.batch({"path": "/"}), "view.batch.POST"),
    "a batch that is refused": (lambda c: c.batch({"way": "/"}), "view.batch.POST"),
}

LISTS = {"bucket": "/buckets", "collection": f"{BUCKET}/collections", "group": f"{BUCKET}/groups", "record": LIST}
OBJECTS = {"bucket": BUCKET, "collection": COLLECTION, "group": GROUP, "record": RECORD}
RESOURCES: dict[str, tuple[Ask, str]] = {
    f"{method} of {path}": (
        methodcaller("ask", method, path, {} if method in ("POST", "PUT", "PATCH") else None),
        f"view.{kind}-{resource}.{method}",
    )
    for resource, paths, methods in (
        ("collection", LISTS, ("GET", "HEAD", "POST", "DELETE")),
        ("record", OBJECTS, ("GET", "HEAD", "PUT", "PATCH", "DELETE")),
    )
    for kind, path in paths.items()
    for method in methods
}

BACKENDS: dict[str, tuple[Ask, str]] = {
    "a list": (lambda c: c.get(LIST), "storage.get_all"),
    "a list, for its timestamp": (lambda c: c.get(LIST), "storage.collection_timestamp"),
    "a new object": (lambda c: c.put(f"{LIST}/new"), "storage.create"),
    "a new object that was deleted before": (lambda c: (c.delete(RECORD), c.put(RECORD))[1], "storage.create"),
    "an object": (lambda c: c.get(RECORD), "storage.get"),
    "a changed object": (lambda c: c.patch(RECORD, {"n": 2}), "storage.update"),
    "a deleted object": (lambda c: c.delete(RECORD), "storage.delete"),
    "a deleted list": (lambda c: c.delete(LIST), "storage.delete_all"),
    "what lies in a deleted bucket": (lambda c: c.delete(BUCKET), "storage.delete_all"),
    "a heartbeat, for the storage": (_heartbeat, "storage.ping"),
    "a heartbeat, for the cache": (_heartbeat, "cache.ping"),
    "a token that is remembered": (lambda c: (c.put(f"{LIST}/x"), c.delete(f"{LIST}?_limit=1"))[1], "cache.set"),
    "a token that is used up": (_deletes_page_by_page, "cache.delete"),
    "who may read an object": (lambda c: c.get(RECORD), "permission.check_permission"),
    "the permissions of an object": (lambda c: c.get(RECORD), "permission.object_permission_principals"),
    "the groups of who asks": (lambda c: c.get(RECORD), "permission.user_principals"),
    "shared objects of a list": (
        lambda c: (c.put(RECORD, {}, {"read": [c.as_("bob").id]}), c.as_("bob").get(LIST))[1],
        "permission.object_permission_principals",
    ),
    "a permission that is given": (lambda c: c.put(RECORD, {}, {"read": ["x"]}), "permission.add_principal_to_ace"),
    "a permission that is taken": (
        lambda c: (c.put(RECORD, {}, {"read": ["x"]}), c.put(RECORD, {}, {"read": ["y"]}))[1],
        "permission.remove_principal_from_ace",
    ),
    "a new member of a group": (lambda c: c.put(GROUP, {"members": ["dora"]}), "permission.add_user_principal"),
    "a member who left a group": (lambda c: c.put(GROUP, {"members": []}), "permission.remove_user_principal"),
    "a decision": (lambda c: c.get(RECORD), "authentication.permits"),
    "a refusal": (lambda c: c.as_("eve").get(RECORD), "authentication.permits"),
}


@on_sqlite
@pytest.mark.parametrize(
    ("ask", "name"),
    [*SERVICES.values(), *RESOURCES.values(), *BACKENDS.values()],
    ids=[*SERVICES, *RESOURCES, *BACKENDS],
)
def test_a_request_feeds_the_timer_with_a_measured_time(
    client: Client, server: StatsdServer, ask: Ask, name: str
) -> None:
    """O-MON-5 to O-MON-12: every timer of the production guide, in milliseconds."""
    start = time.perf_counter()
    ask(client)
    most = (time.perf_counter() - start) * 1000

    times = [line for line in server.lines() if line.name == f"kinto.{name}"]
    assert times
    assert {line.type for line in times} == {"ms"}
    assert all(0 < float(line.value) <= most for line in times)


@on_sqlite
def test_the_cache_methods_of_logins_are_timed(client_with: ClientMaker, server: StatsdServer) -> None:
    """O-MON-4, O-MON-10: `get` and `set` of a login that is remembered; nothing makes it last longer (DECISIONS)."""
    client = client_with(
        {
            "kinto.statsd_url": server.url,
            "kinto.includes": "kinto.plugins.accounts",
            "multiauth.policies": "account",
            "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
            "kinto.account_create_principals": "system.Everyone",
            "kinto.account_bcrypt_rounds": 4,
        }
    ).as_(None)
    client.ask("PUT", "/accounts/bob", {"data": {"password": "pw"}})
    server.packets()

    for _ in range(2):
        client.ask("GET", "/accounts/bob", headers={"Authorization": basic("bob", "pw")})

    lines = server.lines()
    names = {line.name for line in lines}
    assert {"kinto.cache.get", "kinto.cache.set", "kinto.view.account-record.GET"} <= names
    assert "kinto.cache.expire" not in names
    assert lines.count(Line("kinto.users", "account.bob", "s")) == 2
    assert lines.count(Line("kinto.authn_type.account", "1", "c")) == 2


@on_sqlite
def test_the_life_of_a_value_is_timed(client: Client, server: StatsdServer) -> None:
    """O-MON-10: `ttl`, which plugins ask for."""
    client.app.extensions["kinto"].cache.ttl("a key")

    assert server.names() == ["kinto.cache.ttl"]


@on_sqlite
class TestUsers:
    """O-MON-3, O-MON-4."""

    def test_an_identity_counts_once_a_request(self, client: Client, server: StatsdServer) -> None:
        client.get(RECORD)

        counted = [line for line in server.lines() if line.type != "ms"]
        assert counted == [
            Line("kinto.users", user_id("alice").replace(":", "."), "s"),
            Line("kinto.authn_type.basicauth", "1", "c"),
        ]

    def test_a_refused_identity_counts(self, client: Client, server: StatsdServer) -> None:
        assert client.as_("eve").get(RECORD).status == 403

        assert "kinto.authn_type.basicauth" in server.names()

    def test_nobody_in_particular_does_not_count(self, client: Client, server: StatsdServer) -> None:
        client.as_(None).get("/")

        assert server.names() == ["kinto.view.hello.GET"]

    def test_members_of_a_batch_count_and_the_batch_does_not(self, client: Client, server: StatsdServer) -> None:
        as_bob = {"Authorization": basic("bob")}

        client.batch({"path": RECORD}, {"path": "/"}, {"path": RECORD, "headers": as_bob}, {"path": "/nope"})

        users = sorted(line.value for line in server.lines() if line.name == "kinto.users")
        assert users == sorted(user_id(name).replace(":", ".") for name in ("alice", "alice", "bob"))


@on_sqlite
class TestBatch:
    """O-MON-8: members have timers of their own beside the one of the batch."""

    def test_each_member_has_its_timer(self, client: Client, server: StatsdServer) -> None:
        start = time.perf_counter()
        client.batch(
            {"path": RECORD},
            {"method": "PUT", "path": f"{LIST}/new"},
            {"path": "/v1/"},
            {"path": "/nope"},
            {"path": "/__heartbeat__"},
            {"method": "POST", "path": RECORD},
        )
        most = (time.perf_counter() - start) * 1000

        views = {line.name: float(line.value) for line in server.lines() if ".view." in line.name}
        assert sorted(views) == [
            "kinto.view.batch.POST",
            "kinto.view.hello.GET",
            "kinto.view.record-record.GET",
            "kinto.view.record-record.PUT",
        ]
        assert sum(views.values()) - views["kinto.view.batch.POST"] <= views["kinto.view.batch.POST"] <= most

    def test_each_member_is_allowed_or_refused_once(self, client: Client, server: StatsdServer) -> None:
        client.batch(*({"path": f"{LIST}/{number}"} for number in range(5)))

        assert server.names().count("kinto.authentication.permits") == 5

    @pytest.mark.usefixtures("only_when_asked")
    def test_a_batch_is_few_packets(self, client: Client, server: StatsdServer) -> None:
        client.batch(*({"path": f"{LIST}/{number}"} for number in range(25)))

        packets = server.packets()
        assert len(packets) <= 5
        assert max(map(len, packets)) <= 1432


@on_sqlite
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda c: c.get("/nope"), id="an unknown path"),
        pytest.param(lambda c: c.get("/v1"), id="a redirect to the hello view"),
        pytest.param(lambda c: c.get("/buckets/"), id="a redirect to the path without a slash"),
        pytest.param(lambda c: c.ask("OPTIONS", RECORD), id="a preflight"),
        pytest.param(lambda c: c.ask("POST", RECORD), id="a method that is not allowed"),
    ],
)
def test_what_reaches_no_view_has_no_timer(client: Client, server: StatsdServer, ask: Ask) -> None:
    ask(client)

    assert server.packets() == []


@on_sqlite
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda c: c.get(RECORD), id="GET of an object"),
        pytest.param(lambda c: c.put(RECORD), id="PUT of an object"),
        pytest.param(lambda c: c.delete(BUCKET), id="DELETE of a bucket"),
    ],
)
@pytest.mark.usefixtures("only_when_asked")
def test_a_request_is_one_packet(client: Client, server: StatsdServer, ask: Ask) -> None:
    ask(client)

    assert len(server.packets()) == 1


def test_a_statement_feeds_each_timer_once(client: Client, server: StatsdServer) -> None:
    client.get(RECORD)

    assert sorted(name for name in server.names() if ".storage." in name or ".permission." in name) == [
        "kinto.permission.check_permission",
        "kinto.permission.object_permission_principals",
        "kinto.permission.user_principals",
        "kinto.storage.get",
    ]


@on_sqlite
def test_a_listener_is_timed_under_its_name(client_with: ClientMaker, server: StatsdServer) -> None:
    client = client_with(
        {
            "kinto.statsd_url": server.url,
            "kinto.event_listeners": "mine",
            "kinto.event_listeners.mine.use": "tests.support.listening",
        }
    )

    client.put(BUCKET)

    assert "kinto.listeners.mine" in server.names()


@on_sqlite
def test_what_is_measured_stays_as_it_is(client_with: ClientMaker, server: StatsdServer) -> None:
    """The size of a stream is not known before it is sent: it is not read for that."""
    client = client_with({"kinto.statsd_url": server.url, "kinto.statsd_names": "kinto"}, kept=False).as_(None)
    client.app.add_url_rule("/v1/stream", "stream", lambda: Response(iter(["a", "b"])))

    answer = client.get("/stream")

    assert (answer.body, "Content-Length" in answer.headers) == (b"ab", False)
    assert Line("kinto.request_size", "0", "g") in server.lines()


class TestSettings:
    """O-MON-1, O-MON-2, O-MON-13, and what refuses the start."""

    @on_sqlite
    @pytest.mark.parametrize(
        ("settings", "prefix"),
        [
            pytest.param({}, "kinto", id="by default"),
            pytest.param({"kinto.project_name": "my project"}, "my.project", id="by the name of the project"),
            pytest.param({"kinto.project_name": "mine", "kinto.statsd_prefix": "a.b"}, "a.b", id="by its setting"),
        ],
    )
    def test_names_begin_with_the_prefix(
        self, client_with: ClientMaker, server: StatsdServer, settings: dict[str, Any], prefix: str
    ) -> None:
        client_with({"kinto.statsd_url": server.url, **settings}).as_(None).get("/")

        assert server.names() == [f"{prefix}.view.hello.GET"]

    @on_sqlite
    def test_the_scheme_statsd_is_the_same(self, client_with: ClientMaker, server: StatsdServer) -> None:
        client_with({"kinto.statsd_url": server.url.replace("udp:", "statsd:")}).as_(None).get("/")

        assert server.names() == ["kinto.view.hello.GET"]

    @on_sqlite
    @pytest.mark.parametrize(
        ("families", "names"),
        [
            ("seed", {"kinto.view.hello.GET"}),
            ("kinto", {"kinto.request_summary", "kinto.request_size"}),
            ("both", {"kinto.view.hello.GET", "kinto.request_summary", "kinto.request_size"}),
        ],
    )
    def test_names_are_those_of_the_family(
        self, client_with: ClientMaker, server: StatsdServer, families: str, names: set[str]
    ) -> None:
        """O-MON-13."""
        client = client_with({"kinto.statsd_url": server.url, "kinto.statsd_names": families}).as_(None)
        server.packets()

        client.get("/")

        assert {name for name in server.names() if "duration" not in name} == names

    @on_sqlite
    @pytest.mark.parametrize("families", ["seed", "kinto"])
    def test_clients_cannot_make_names(self, client_with: ClientMaker, server: StatsdServer, families: str) -> None:
        """StatsD keeps each name: invented methods are one, users and paths are none."""
        client = client_with({"kinto.statsd_url": server.url, "kinto.statsd_names": families})

        def names(invented: str) -> set[str]:
            server.packets()
            for path in ("/", "/buckets", f"/buckets/{invented}", f"/{invented}", "/batch"):
                client.as_(invented).ask(invented, path)
                client.as_(invented).get(path)
            return set(server.names())

        first, *later = [names(invented) for invented in ("FOO", "BAR", "M-SEARCH", "x.y.z", "X" * 100)]

        assert first
        assert later == [first] * 4

    def test_a_host_that_nobody_knows_refuses_the_start(self) -> None:
        with pytest.raises(SettingError, match=r"statsd_url.*'no-such-host.invalid' is not known"):
            create_app({"kinto.statsd_url": "udp://no-such-host.invalid:8125"})

    def test_the_plugin_without_a_url_refuses_the_start(self) -> None:
        """P-STATSD-1."""
        with pytest.raises(SettingError, match="statsd_url"):
            create_app({"kinto.includes": "kinto.plugins.statsd"})

    @on_sqlite
    def test_the_plugin_changes_nothing(self, client_with: ClientMaker, server: StatsdServer) -> None:
        client = client_with({"kinto.statsd_url": server.url, "kinto.includes": "kinto.plugins.statsd"}).as_(None)

        assert "statsd" not in client.get("/").json["capabilities"]
        assert server.names() == ["kinto.view.hello.GET"]

    @on_sqlite
    @pytest.mark.parametrize("url", ["udp://127.0.0.1:9", "udp://192.0.2.1:8125"], ids=["closed port", "dead address"])
    def test_a_server_that_is_not_there_fails_no_request(self, client_with: ClientMaker, url: str) -> None:
        """O-MON-15."""
        client = client_with({"kinto.statsd_url": url})

        start = time.perf_counter()
        answers = [client.get("/").status for _ in range(50)]

        assert answers == [200] * 50
        assert time.perf_counter() - start < 5


made: list[Recording] = []


class Recording:
    """A class of one's own for `statsd_backend`, without pipelines."""

    def __init__(self, host: str, port: int, prefix: str) -> None:
        self.where = (host, port, prefix)
        self.sent: list[str] = []
        made.append(self)

    def timing(self, stat: str, delta: float) -> None:
        self.sent.append(stat)

    def incr(self, stat: str, count: int = 1) -> None:
        self.sent.append(stat)

    def gauge(self, stat: str, value: float) -> None:
        self.sent.append(stat)

    def set(self, stat: str, value: str) -> None:
        self.sent.append(stat)


class Failing(Recording):
    def timing(self, stat: str, delta: float) -> None:
        raise ZeroDivisionError


class TestBackend:
    """`statsd_backend` is a class of one's own, or one of the old names."""

    @on_sqlite
    def test_a_class_of_ones_own_gets_what_is_measured(self, client_with: ClientMaker) -> None:
        settings = {"kinto.statsd_url": "udp://carbon.server:8126", "kinto.statsd_backend": f"{__name__}.Recording"}
        client = client_with(settings, kept=False)

        client.get("/")
        client.app.extensions["kinto"].close()

        backend = made.pop()
        assert backend.where == ("carbon.server", 8126, "kinto")
        assert backend.sent == ["permission.user_principals", "view.hello.GET", "users", "authn_type.basicauth"]

    @on_sqlite
    def test_the_class_of_the_library_sends_a_packet_a_request(
        self, client_with: ClientMaker, server: StatsdServer
    ) -> None:
        client = client_with({"kinto.statsd_url": server.url, "kinto.statsd_backend": "statsd.StatsClient"})

        client.get("/")

        assert len(server.packets()) == 1

    @on_sqlite
    def test_a_class_of_ones_own_that_fails_fails_no_request(
        self, client_with: ClientMaker, caplog: pytest.LogCaptureFixture
    ) -> None:
        """O-MON-15."""
        settings = {"kinto.statsd_url": "udp://x", "kinto.statsd_backend": f"{__name__}.Failing"}
        client = client_with(settings, kept=False)

        assert [client.get("/").status for _ in range(50)] == [200] * 50
        client.app.extensions["kinto"].close()
        assert "Measurements are lost." in caplog.messages

    @on_sqlite
    @pytest.mark.parametrize("name", ["kinto.core.statsd", "cliquet.statsd"])
    def test_an_old_name_is_the_built_in_one(self, client_with: ClientMaker, server: StatsdServer, name: str) -> None:
        client_with({"kinto.statsd_url": server.url, "kinto.statsd_backend": name}).as_(None).get("/")

        assert server.names() == ["kinto.view.hello.GET"]

    @pytest.mark.parametrize(
        "name", ["nowhere.at.all", "tests.support.listening", "builtins.int", "tests.support.client.SECRET"]
    )
    def test_what_cannot_send_refuses_the_start(self, server: StatsdServer, name: str) -> None:
        with pytest.raises(SettingError, match="statsd_backend"):
            create_app({"kinto.statsd_url": server.url, "kinto.statsd_backend": name})


class TestSilence:
    """Without a setting nothing is wrapped, and plugins measure into the void (plugins contract, 11)."""

    @on_sqlite
    def test_nothing_stands_around_service_and_backends(self, client_with: ClientMaker) -> None:
        service = client_with().app.extensions["kinto"]

        assert service.observers == []
        assert type(service.storage) is SqlStorage

    @on_sqlite
    def test_a_plugin_may_measure_all_the_same(self, client_with: ClientMaker) -> None:
        metrics = client_with().app.extensions["kinto"].metrics

        with metrics.timer("plugins.mine", [("method", "get")]):
            metrics.count("things")
            metrics.observe("size", 1)

    @on_sqlite
    def test_what_a_plugin_measures_is_sent(self, client: Client, server: StatsdServer) -> None:
        metrics = client.app.extensions["kinto"].metrics

        with metrics.timer("plugins.mine"):
            pass

        assert server.names() == ["kinto.plugins.mine"]

    def test_commands_are_not_measured(self) -> None:
        """A command neither needs the server nor answers anybody."""
        service = create_service(load({**BASICAUTH, "kinto.statsd_url": "udp://no-such-host.invalid"}))

        assert type(service) is Service
        service.close()
