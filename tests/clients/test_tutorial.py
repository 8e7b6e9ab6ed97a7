"""The first steps of a new user, in the order of Kinto's own tutorial: tasks of one user, then shared with others.

The service is that of `make serve`: everything is asked over HTTP with nothing prepared.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import requests

from tests.support import services

ALICE, BOB = ("alice", "p4ssw0rd"), ("bob", "b0bsp4ss")


def served_settings() -> dict[str, str]:
    """Return the settings that `make serve` sets, apart from the database and the secrets."""
    text = Path(services.ROOT, "Makefile").read_text(encoding="utf-8")
    exported = dict(re.findall(r"^serve: export (\w+) \?= (.+)$", text, re.MULTILINE))
    return {name: value for name, value in exported.items() if "$" not in value}


class Session:
    """The requests of one user."""

    def __init__(self, url: str, auth: tuple[str, str] | None) -> None:
        self._url = url
        self._auth = auth

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        """Send one request."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, f"{self._url}{path}", json=body, headers=named, auth=self._auth, timeout=60)

    def data(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send one request that succeeds, and return `data` of its response."""
        response = self.ask(method, path, body, **headers)
        assert response.ok, response.text
        return response.json()["data"]


def test_the_tutorial_from_the_first_line_to_the_last(tmp_path: Path) -> None:
    settings = {
        "kinto.storage_url": f"sqlite:///{tmp_path}/kinto.sqlite",
        "kinto.userid_hmac_secret": "secret",
        "kinto.default_bucket_hmac_secret": "salt",
    }
    with services.serve({**settings, **served_settings()}) as url:
        _walk(url)


def _walk(url: str) -> None:
    nobody, alice, bob = Session(url, None), Session(url, ALICE), Session(url, BOB)

    # Sign up, and look around.
    for name, password in (ALICE, BOB):
        nobody.data("PUT", f"/accounts/{name}", {"data": {"password": password}})
    hello = alice.ask("GET", "/").json()
    assert hello["user"]["id"] == "account:alice"
    assert {"accounts", "default_bucket", "history", "admin", "permissions_endpoint"} <= hello["capabilities"].keys()

    # A personal list of tasks, which needs no preparation.
    tasks = "/buckets/default/collections/tasks/records"
    task = alice.data("POST", tasks, {"data": {"description": "Write a tutorial", "status": "todo"}})
    assert [each["id"] for each in alice.data("GET", tasks)] == [task["id"]]
    assert bob.data("GET", tasks) == []
    assert nobody.ask("GET", tasks).status_code == 401

    # Change it, unless somebody has changed it meanwhile.
    path = f"{tasks}/{task['id']}"
    changed = alice.data("PATCH", path, {"data": {"status": "doing"}}, If_Match=f'"{task["last_modified"]}"')
    stale = alice.ask("PATCH", path, {"data": {"status": "done"}}, If_Match=f'"{task["last_modified"]}"')
    assert stale.status_code == 412
    assert stale.json()["details"]["existing"] == changed
    assert alice.ask("GET", path, If_None_Match=f'"{changed["last_modified"]}"').status_code == 304

    # Fetch what changed since the last time, deletions included.
    alice.data("POST", tasks, {"data": {"description": "Second", "status": "done"}})
    since = changed["last_modified"]
    assert [each["description"] for each in alice.data("GET", f"{tasks}?_since={since}")] == ["Second"]
    alice.data("DELETE", path)
    assert {each["id"] for each in alice.data("GET", f"{tasks}?_since={since}") if each.get("deleted")} == {task["id"]}

    # Share one record of the personal bucket by its real URL.
    shared = alice.data("POST", tasks, {"data": {"description": "Shared"}, "permissions": {"read": ["account:bob"]}})
    own = f"/buckets/{hello['user']['bucket']}/collections/tasks/records/{shared['id']}"
    assert bob.data("GET", own) == shared
    assert bob.ask("PATCH", own, {"data": {"description": "Bob's"}}).status_code == 403
    assert own in {each["uri"] for each in bob.data("GET", "/permissions")}

    # A bucket for an application, where every user may create tasks.
    alice.data("PUT", "/buckets/todo")
    alice.data("PUT", "/buckets/todo/collections/tasks", {"permissions": {"record:create": ["system.Authenticated"]}})
    app = "/buckets/todo/collections/tasks/records"
    ours = bob.data("POST", app, {"data": {"description": "Bob's own"}})
    alice.data("POST", app, {"data": {"description": "Alice's own"}})
    assert [each["id"] for each in bob.data("GET", app)] == [ours["id"]]
    assert len(alice.data("GET", app)) == 2  # she owns the bucket

    # A group of friends may read.
    alice.data("PUT", "/buckets/todo/groups/friends", {"data": {"members": ["account:bob"]}})
    alice.data("PATCH", "/buckets/todo/collections/tasks", {"permissions": {"read": ["/buckets/todo/groups/friends"]}})
    assert len(bob.data("GET", app)) == 2
    alice.data("PATCH", "/buckets/todo/groups/friends", {"data": {"members": []}})
    assert [each["id"] for each in bob.data("GET", app)] == [ours["id"]]

    # Who changed what, in the bucket of the application: newest first, with what was there.
    history = alice.data("GET", "/buckets/todo/history?resource_name=record")
    assert [(each["user_id"], each["action"]) for each in history] == [
        ("account:alice", "create"),
        ("account:bob", "create"),
    ]
    assert history[1]["target"]["data"] == ours

    # The console is there, and says how to install one.
    assert nobody.ask("GET", "/admin/").status_code == 200
