"""Views of plugins as members of batches: in their place, in the transaction, isolated from the batch around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, g, request, session

from app.errors import ApiError
from app.events import Event, Listener
from app.observations import Decision, Observation
from app.operation import Body, Operation
from app.service import Service
from app.transactions.perform import perform
from backends import BackendError
from backends.codec import dumps
from backends.storage import Conflict, Selection
from blueprints.authentication import authenticate_and_verify
from blueprints.exchanges import add_log_fields
from blueprints.http import to_response
from blueprints.replies import Reply
from blueprints.urls import prefix
from tests.api.conftest import on_sqlite
from tests.plugins.conftest import Attach, ClientMaker, MakeClient
from tests.support.client import Answer, Client, basic

B, C = "/buckets/b", "/buckets/b/collections/c"


def put(path: str, **data: Any) -> dict[str, Any]:
    """Return a member that puts an object."""
    return {"method": "PUT", "path": path, "body": {"data": data}}


def attach(view: Callable[[Service], Any], methods: tuple[str, ...] = ("GET", "POST")) -> Attach:
    """Return what attaches one view at `/view`, and a log of what listeners were told after the commit."""

    def attach(app: Flask, service: Service) -> None:
        blueprint = Blueprint("view", __name__, url_prefix=prefix(service))
        blueprint.add_url_rule("/view", "view", lambda: view(service), methods=methods)
        app.register_blueprint(blueprint)
        events = app.extensions["told"] = []
        service.add_listener(Listener(after=lambda event: events.append(_described(event))))

    return attach


def _described(event: Event) -> tuple[str, list[str]]:
    return event.payload["action"], [impacted["new"]["id"] for impacted in event.impacted_objects]


def _operation(service: Service, method: str, uri: str, **data: Any) -> Operation:
    route = service.kinds.match(uri)
    assert route is not None
    return Operation(method, route, authenticate_and_verify(service), body=Body(data, {}))


def _show(service: Service) -> Response:
    """Answer with the buckets that are there, as the storage reads them and as an operation does."""
    stored = [uri for uri in ("/buckets/a", B, "/buckets/c") if _exists(service, uri)]
    (outcome,) = perform(service, [_operation(service, "GET", B)])
    return to_response(Reply(200, f'{{"stored":{len(stored)},"performed":"{type(outcome).__name__}"}}'))


def _exists(service: Service, uri: str) -> bool:
    stored = service.storage.read(Selection(uri, targets=(uri,), ancestor_documents=True)).objects.get(uri)
    return stored is not None and not stored.deleted


def _write(service: Service) -> Response:
    """Put a bucket, as views of plugins do."""
    name = request.args.get("name", "written")
    (outcome,) = perform(service, [_operation(service, "PUT", f"/buckets/{name}", by="view")])
    return to_response(Reply(getattr(outcome, "status", 500), '{"written":true}'))


def statuses(answer: Any) -> list[int]:
    """Return the statuses of the entries."""
    assert answer.status == 200, answer.json
    return [entry["status"] for entry in answer.json["responses"]]


def ids(client: Client) -> list[str]:
    """Return the ids of all buckets."""
    return sorted(bucket["id"] for bucket in client.get("/buckets").data)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_view_sees_what_came_before_it_and_nothing_else(client_of: MakeClient, method: str) -> None:
    """C-BATCH-21."""
    client = client_of(attach(_show))
    view = {"method": method, "path": "/view"}

    answer = client.batch(view, put(B), view, put("/buckets/c"), view, {"method": "DELETE", "path": B}, view)

    assert statuses(answer) == [200, 201, 200, 201, 200, 200, 200]
    bodies = [answer.json["responses"][place]["body"] for place in (0, 2, 4, 6)]
    assert [body["stored"] for body in bodies] == [0, 1, 2, 1]
    assert [body["performed"] for body in bodies] == ["Forbidden", "Outcome", "Outcome", "Forbidden"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("deletion", [B, C, "/buckets", f"{B}/collections", f"{C}/records"])
def test_a_view_before_the_only_deletion_sees_what_it_deletes(
    client_of: MakeClient, deletion: str, method: str
) -> None:
    """C-BATCH-21: whatever a deletion does first, it does in its place."""

    def count(service: Service) -> Response:
        """Answer with the objects of the bucket that are stored."""
        selection = Selection(B, targets=(C, f"{C}/records/r"), ancestors=(B,), ancestor_documents=True)
        objects = service.storage.read(selection).objects.values()
        return to_response(Reply(200, f'{{"stored":{sum(not stored.deleted for stored in objects)}}}'))

    client = client_of(attach(count))
    client.batch(put(B), put(C), put(f"{C}/records/r"))
    view = {"method": method, "path": "/view"}

    answer = client.batch(view, {"method": "DELETE", "path": deletion}, view)

    assert statuses(answer) == [200, 200, 200]
    stored = [answer.json["responses"][place]["body"]["stored"] for place in (0, 2)]
    left = {B: 0, C: 1, "/buckets": 0, f"{B}/collections": 1, f"{C}/records": 2}
    # A bucket that goes takes the copy in it along.
    assert stored == [3, left[deletion]]


def test_a_bucket_that_a_view_makes_is_deleted_at_a_timestamp_of_its_own(client_of: MakeClient) -> None:
    """C-PRE-2: the clock of the list goes on, also where the deletion is the only operation."""
    client = client_of(attach(_write))
    client.put(B)
    before = client.get("/buckets").etag
    delete = {"method": "DELETE", "path": "/buckets/written"}

    answer = client.batch({"method": "POST", "path": "/view"}, delete)

    assert statuses(answer) == [201, 200]
    deleted = answer.json["responses"][1]["body"]["data"]["last_modified"]
    assert client.get("/buckets").etag == deleted > before + 1
    assert ids(client) == ["b"]
    assert client.head("/buckets").headers["Total-Objects"] == "1"


def test_permissions_and_hello_are_answered_in_their_place(client_with: ClientMaker) -> None:
    """C-BATCH-21, as Kinto does."""
    client = client_with({"kinto.experimental_permissions_endpoint": True})
    permissions = {"path": "/permissions"}

    answer = client.batch(permissions, put(B), permissions, {"path": "/"}, put(C), permissions)

    assert statuses(answer) == [200, 201, 200, 200, 201, 200]
    counts = [
        len([entry for entry in answer.json["responses"][place]["body"]["data"] if entry["uri"] != "/"])
        for place in (0, 2, 5)
    ]
    assert counts == [0, 1, 2]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("others", [[], [put("/buckets/a")], [{"path": "/buckets"}]], ids=["alone", "writes", "reads"])
def test_a_view_that_writes_is_part_of_the_batch(
    client_of: MakeClient, method: str, others: list[dict[str, Any]]
) -> None:
    """It would wait for the lock of the batch otherwise; listeners are told after the commit, once."""
    client = client_of(attach(_write))

    answer = client.batch(
        *others, {"method": method, "path": "/view"}, {"path": "/buckets/written"}, put("/buckets/written", n=1)
    )

    assert statuses(answer)[-3:] == [201, 200, 200]
    assert answer.json["responses"][-2]["body"]["data"]["by"] == "view"
    assert "written" in ids(client)
    created = [name for action, names in client.app.extensions["told"] if action == "create" for name in names]
    assert created == [*(["a"] if others and "method" in others[0] else []), "written"]


def test_members_see_what_a_view_wrote_below_what_they_made(client_of: MakeClient) -> None:
    """What was read for the batch before is read again; timestamps go up."""

    def fill(service: Service) -> Response:
        perform(service, [_operation(service, "PUT", f"{C}/records/r", by="view")])
        return to_response(Reply(200, "{}"))

    client = client_of(attach(fill))
    record = f"{C}/records/r"
    answer = client.batch(
        put(B), put(C), {"path": "/view"}, {"path": record}, put(f"{C}/records/s"), {"path": f"{C}/records"}
    )

    assert statuses(answer) == [201, 201, 200, 200, 201, 200]
    assert answer.json["responses"][3]["body"]["data"]["by"] == "view"
    listed = answer.json["responses"][5]["body"]["data"]
    assert [record["id"] for record in listed] == ["s", "r"]
    assert client.get(f"{C}/records").data == listed
    assert client.head(f"{C}/records").headers["Total-Objects"] == "2"


def _fail(service: Service) -> Response:
    _write(service)
    raise BackendError("the disk is full")


FAILURES: dict[str, tuple[Callable[[Service], Any], int, int]] = {
    "an exception": (lambda _: 1 // 0, 500, 999),
    "a backend that fails": (_fail, 503, 201),
    "a response of 502": (lambda _: Response("<h1>Bad Gateway</h1>", 502), 502, 0),
    "no response": (lambda _: None, 500, 999),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("view", "status", "errno"), FAILURES.values(), ids=FAILURES.keys())
def test_a_view_that_fails_undoes_the_batch(
    client_of: MakeClient, view: Callable[[Service], Any], status: int, errno: int, place: int
) -> None:
    """C-BATCH-15: the batch has its status, and nothing is kept, wherever it stands."""
    client = client_of(attach(view))
    members = [put(B), put("/buckets/c")]
    members.insert(place, {"method": "POST", "path": "/view"})

    answer = client.batch(*members)

    assert answer.status == status
    assert (answer.json or {}).get("errno", 0) == errno
    assert ids(client) == []
    assert client.app.extensions["told"] == []
    assert statuses(client.batch(put(B))) == [201]


def test_a_view_that_hides_a_conflict_does_not_hide_it_from_the_batch(client_of: MakeClient) -> None:
    """C-BATCH-18: two objects with one timestamp."""

    def write(service: Service) -> Response:
        asks = _operation(service, "PUT", "/buckets/twin", last_modified=1000)
        try:
            perform(service, [asks])
        except ApiError:
            return to_response(Reply(200, "{}"))
        return to_response(Reply(201, "{}"))

    client = client_of(attach(write))
    client.put("/buckets/old", {"last_modified": 1000})

    answer = client.batch(put(B), {"method": "POST", "path": "/view"})

    assert (answer.status, answer.json["errno"]) == (409, 122)
    assert ids(client) == ["old"]


def test_a_view_that_opens_a_transaction_of_its_own_fails_instead_of_waiting_for_itself(
    client_of: MakeClient,
) -> None:
    for write in (
        lambda service: service.storage.transaction().__enter__(),
        lambda service: service.storage.flush(),
        lambda service: service.storage.ping(write=True),
        lambda service: service.storage.purge(["/buckets"], 0),
    ):
        client = client_of(attach(write))

        assert client.batch(put(B), {"path": "/view"}).status == 500
        assert ids(client) == []


def test_a_4xx_of_a_view_undoes_nothing(client_of: MakeClient) -> None:
    """C-BATCH-16."""

    def refuse(service: Service) -> Response:
        _write(service)
        return to_response(Reply(402, '{"pay":true}'))

    client = client_of(attach(refuse))

    assert statuses(client.batch(put(B), {"method": "POST", "path": "/view"}, put("/buckets/c"))) == [201, 402, 201]
    assert ids(client) == ["b", "c", "written"]


@on_sqlite
def test_a_view_has_nothing_of_the_batch_but_its_headers(client_of: MakeClient) -> None:
    def leave(_: Service) -> Response:
        before = getattr(g, "left", None)
        g.left = g.exposed = ("X-Left",)
        add_log_fields(left="here")
        state = {
            "g": before,
            "method": request.method,
            "path": request.path,
            "query": request.query_string.decode(),
            "body": request.get_data(as_text=True),
            "type": request.content_type,
            "length": request.content_length,
            "host": request.host,
            "scheme": request.scheme,
            "address": request.remote_addr,
            "user": request.headers.get("X-User"),
            "agent": request.headers.get("User-Agent"),
            "session": len(session),
        }
        response = Response(dumps(state), 200, {"Content-Type": "application/json"})
        response.headers.add("Set-Cookie", "a=1")
        return response

    client = client_of(attach(leave))
    member = {"method": "POST", "path": "/view?a=%C3%A9&b=ü", "headers": {"X-User": "é"}, "body": {"data": "ü"}}
    response = client.app.test_client().post(
        "/v1/batch",
        json={"requests": [member, {"path": "/view"}, {"path": "/buckets"}]},
        headers={"User-Agent": "batcher", "Authorization": basic("alice")},
        base_url="https://service.example:8443",
        environ_overrides={"REMOTE_ADDR": "1.2.3.4"},
    )

    answer = Answer(response.status_code, response.headers, response.get_data())
    first, second, _ = (entry["body"] for entry in answer.json["responses"])
    assert first == {
        "g": None,
        "method": "POST",
        "path": "/v1/view",
        "query": "a=%C3%A9&b=ü",
        "body": '{"data":"ü"}',
        "type": "application/json",
        "length": 13,
        "host": "service.example:8443",
        "scheme": "https",
        "address": "1.2.3.4",
        "user": "é",
        "agent": "batcher",
        "session": 0,
    }
    assert (second["g"], second["body"], second["method"]) == (None, "", "GET")
    assert "X-Left" not in answer.headers["Access-Control-Expose-Headers"]
    assert "X-Left" in answer.json["responses"][0]["headers"]["Access-Control-Expose-Headers"]


BODIES: dict[str, tuple[Any, Any]] = {
    "text": (lambda: Response("plain", content_type="text/plain"), ""),
    "bytes": (lambda: Response(b"\xff\xfe", content_type="application/octet-stream"), ""),
    "JSON": (lambda: {"a": 1}, {"a": 1}),
    "a JSON list": (lambda: [1], [1]),
    "no JSON, though it says so": (lambda: Response("{", content_type="application/json"), ""),
    "bytes that are called JSON": (lambda: Response(b"\xff", content_type="application/json"), ""),
    "nothing that is called JSON": (lambda: Response("", content_type="application/json"), ""),
    "a stream": (lambda: Response(iter(["[1,", "2]"]), content_type="application/json"), [1, 2]),
    "a file": (lambda: Response(iter([b"[]"]), content_type="application/json", direct_passthrough=True), []),
    "no content": (lambda: ("", 204), ""),
}


@on_sqlite
@pytest.mark.parametrize(("make", "body"), BODIES.values(), ids=BODIES.keys())
def test_whatever_a_view_sends_the_batch_is_json(client_of: MakeClient, make: Any, body: Any) -> None:
    """C-BATCH-13: "" for what is no JSON."""
    client = client_of(attach(lambda _: make()))

    answer = client.batch(put(B), {"path": "/view"}, {"method": "HEAD", "path": "/view"}, put("/buckets/c"))

    assert statuses(answer)[::3] == [201, 201]
    assert [entry["body"] for entry in answer.json["responses"][1:3]] == [body, ""]


@on_sqlite
def test_a_rule_with_a_slash_at_its_end_is_found(client_of: MakeClient) -> None:
    """C-URL-12: only a path without an endpoint is redirected."""

    def with_slash(app: Flask, service: Service) -> None:
        app.add_url_rule("/v1/slash/", "slash", lambda: {"path": request.path})

    client = client_of(with_slash)

    answer, redirected = client.batch({"path": "/slash/"}, {"path": "/slash"}).json["responses"]

    assert (answer["status"], answer["body"]) == (client.get("/slash/").status, {"path": "/v1/slash/"})
    assert redirected["status"] == client.get("/slash").status


@on_sqlite
def test_a_catch_all_of_a_plugin_does_not_open_private_urls(client_of: MakeClient) -> None:
    """docs/contract/DECISIONS.md."""

    def catch(app: Flask, service: Service) -> None:
        app.add_url_rule("/v1/<path:rest>", "all", lambda rest: {"rest": rest}, methods=["GET", "POST"])

    client = client_of(catch)

    paths = ["/__x__", "/__", "/%5f_x", "/_/_x", "/a?b", "/a%3Fb", "/a%23", "/\t__x__", "/batch"]
    answers = [client.batch({"path": path}) for path in paths]
    assert [answer.status for answer in answers] == [200] * 8 + [400]
    entries = [answer.json["responses"][0] for answer in answers[:8]]
    assert [entry["status"] for entry in entries] == [404, 404, 404, 200, 200, 200, 200, 200]
    assert [entry["body"]["rest"] for entry in entries[3:]] == ["_/_x", "a", "a?b", "a#", "\t__x__"]


def test_a_view_may_be_asked_again_after_a_conflict(client_of: MakeClient) -> None:
    """The database wants another try: what the first did is undone."""
    calls: list[str] = []

    def write(service: Service) -> Response:
        calls.append(request.path)
        return _write(service)

    client = client_of(attach(write))

    def conflict_once(observation: Observation) -> None:
        if isinstance(observation, Decision) and observation.operation.route.uri == "/buckets/last" and len(calls) == 1:
            raise Conflict("deadlock")

    client.app.extensions["kinto"].observers.append(conflict_once)

    assert statuses(client.batch({"method": "POST", "path": "/view"}, put("/buckets/last"))) == [201, 201]
    assert len(calls) == 2
    assert ids(client) == ["last", "written"]
