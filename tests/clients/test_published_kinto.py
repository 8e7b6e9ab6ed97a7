"""A database that the published Kinto filled answers every request the same after the takeover (O-PG-9 to O-PG-19)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.settings import load
from scripts import main
from tests.support.client import Client
from tests.support.databases import assemble_app
from tests.support.published_kinto import Reply, Server, serve_kinto

USERS = ("alice", "bob", "eve", "ann", "admin", None)
"""Three users of basic authentication, two with accounts, and one without credentials."""

INI = """
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = %(http_port)s

[app:main]
use = egg:kinto
kinto.includes = kinto.plugins.default_bucket kinto.plugins.history kinto.plugins.accounts
kinto.storage_backend = kinto.core.storage.postgresql
kinto.storage_url = {url}
kinto.permission_backend = kinto.core.permission.postgresql
kinto.permission_url = {url}
kinto.cache_backend = kinto.core.cache.memory
kinto.userid_hmac_secret = golden-secret
kinto.default_bucket_hmac_secret = other-secret
kinto.bucket_create_principals = system.Authenticated
kinto.account_create_principals = system.Everyone
kinto.account_write_principals = account:admin
kinto.experimental_permissions_endpoint = true
kinto.experimental_collection_schema_validation = true
kinto.account_bcrypt_rounds = 4
kinto.account_cache_ttl_seconds = 3600
multiauth.policies = account basicauth
multiauth.policy.account.use = kinto.plugins.accounts.AccountsPolicy
multiauth.policy.basicauth.use = kinto.core.authentication.BasicAuthAuthenticationPolicy
"""

B, C = "/buckets/blog", "/buckets/blog/collections/articles"
R = f"{C}/records"
LISTS = ("/buckets", f"{B}/collections", f"{B}/groups", f"{B}/history", R, "/buckets/a_b/collections/x/records")


@dataclass
class Filling:
    """What a client saw while it filled Kinto: the ETags of lists at several moments."""

    server: Server
    etags: dict[str, list[int]] = field(default_factory=dict)

    def write(self, user: str | None, method: str, path: str, data: Any = None, permissions: Any = None) -> None:
        """Send a write, which must succeed."""
        body = {name: value for name, value in (("data", data), ("permissions", permissions)) if value is not None}
        reply = self.server.ask(user, method, path, body or None)
        assert reply.status < 300, (method, path, reply)

    def note(self) -> None:
        """Note the present ETags of lists, as a client that synchronises does."""
        for name in LISTS:
            reply = self.server.ask("alice", "GET", name)
            if reply.status == 200:
                self.etags.setdefault(name, []).append(reply.etag)


def fill(server: Server) -> Mapping[str, list[int]]:
    """Write objects of all kinds, change and delete some of them, and return the ETags at several moments."""
    client = Filling(server)
    write = client.write
    for name in ("admin", "ann", "dan"):
        write(None, "PUT", f"/accounts/{name}", {"password": "secret", "mail": f"{name}@x.org"})
    write("admin", "PATCH", "/accounts/ann", {"city": "Lyon"})
    write("admin", "DELETE", "/accounts/dan")
    everyone, authenticated = "system.Everyone", "system.Authenticated"
    write(
        "alice",
        "PUT",
        B,
        {"title": "Blog \u00e9\U0001f600", "n": [1, 1.0, 2.50, 10**20, -0.0, 1e-7]},
        {"read": [authenticated]},
    )
    write(
        "alice",
        "PUT",
        f"{B}/groups/editors",
        {"members": ["account:ann", client.server.ask("bob", "GET", "/").json["user"]["id"]]},
    )
    write("alice", "PUT", f"{B}/groups/all", {"members": ["system.Authenticated"], "note": None})
    write("alice", "PUT", f"{B}/groups/gone", {"members": ["account:ann"]})
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    write(
        "alice",
        "PUT",
        C,
        {"schema": schema, "cache_expires": 5},
        {"write": [f"{B}/groups/editors"], "record:create": [everyone]},
    )
    write("alice", "PUT", f"{B}/collections/empty", {"sort": "-last_modified"}, {"read": [everyone]})
    write("alice", "PUT", f"{B}/collections/unseen")
    write("alice", "PUT", f"{B}/collections/gone")
    write("alice", "PUT", f"{B}/collections/gone/records/r")
    client.note()
    for number in range(8):
        write(
            ("alice", "bob", "ann", "eve")[number % 4],
            "PUT",
            f"{R}/r{number}",
            {"title": f"t{number}", "rank": number % 3},
        )
    write(
        "eve",
        "PUT",
        f"{R}/shared",
        {"deep": {"a": [{}, [], "", None, True]}},
        {"read": [authenticated], "write": [f"{B}/groups/gone"]},
    )
    write("alice", "PUT", f"{R}/early", {"last_modified": 5})
    write(None, "POST", R, {"by": "anyone"})
    client.note()
    write("alice", "PATCH", f"{R}/r1", {"title": "new"}, {"read": [everyone]})
    write("ann", "PUT", f"{R}/r2", {"title": "by ann"})
    write("alice", "DELETE", f"{R}/r3")
    write("alice", "DELETE", f"{R}?rank=0")
    write("alice", "DELETE", f"{B}/groups/gone")
    write("alice", "DELETE", f"{B}/collections/gone")
    write("alice", "PATCH", B, None, {"read": [authenticated, everyone]})
    client.note()
    write("alice", "PUT", f"{R}/r0", {"title": "again"})
    write("bob", "PUT", "/buckets/a_b", {"x": 1}, {"write": ["account:ann"]})
    write("bob", "PUT", "/buckets/a_b/collections/x", None, {"read": [everyone]})
    write("bob", "PUT", "/buckets/a_b/collections/x/records/y", {"y": "z"})
    write("bob", "PUT", "/buckets/old", None, {"read": [everyone]})
    write("bob", "PUT", "/buckets/old/collections/x")
    write("bob", "DELETE", "/buckets/old")
    write("eve", "PUT", "/buckets/twice")
    write("eve", "PUT", "/buckets/twice/collections/x")
    write("eve", "DELETE", "/buckets/twice")
    write("eve", "PUT", "/buckets/twice", {"again": True})
    for user in ("alice", "ann"):
        write(user, "PUT", "/buckets/default/collections/tasks/records/t", {"done": False})
    requests = [{"method": "PUT", "path": f"/buckets/default/collections/notes/records/n{n}"} for n in range(3)]
    assert server.ask("ann", "POST", "/batch", {"requests": requests}).status == 200
    client.note()
    return client.etags


def requests_of(etags: Mapping[str, list[int]]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield the requests that are compared: method, path and headers."""
    for name, moments in etags.items():
        yield "GET", name, {}
        if not name.endswith("/history"):
            yield "HEAD", name, {}
        yield "GET", f"{name}?_sort=id&_limit=2", {}
        yield "GET", f"{name}?_fields=id&_before={moments[-1]}", {}
        for moment in moments:
            yield "GET", f'{name}?_since="{moment}"', {}
            yield "GET", name, {"If-None-Match": f'"{moment}"'}
        yield "GET", f"{name}?_since={moments[0]}&_sort=last_modified", {}
    for path in (
        B,
        C,
        "/buckets/a_b",
        "/buckets/old",
        "/buckets/twice",
        "/buckets/axb",
        f"{B}/groups/editors",
        f"{B}/groups/all",
        f"{B}/groups/gone",
        f"{B}/collections/gone",
        f"{B}/collections/empty",
        f"{R}/r0",
        f"{R}/r1",
        f"{R}/r2",
        f"{R}/r3",
        f"{R}/r5",
        f"{R}/shared",
        f"{R}/early",
        "/buckets/a_b/collections/x/records/y",
    ):
        yield "GET", path, {}
        yield "HEAD", path, {}
    for moment in etags[R][:-1]:
        yield "DELETE", R, {"If-Match": f'"{moment}"'}
        for path in (f"{R}/r0", f"{R}/r1", B):
            yield "PATCH", path, {"If-Match": f'"{moment}"'}
    for path in (
        "/accounts/ann",
        "/accounts/admin",
        "/accounts/dan",
        "/permissions",
        "/permissions?_limit=3",
        f"{B}/collections/unseen/records?_since=1",
        f"{R}?title=new",
        f"{R}?has_title=false",
        f"{R}?_sort=-rank,id",
        f"{B}/history?action=delete",
        f"{B}/history?resource_name=group&_sort=date",
        f"{B}/history?target.data.id=r1",
    ):
        yield "GET", path, {}


def view_of(reply: Reply, path: str) -> dict[str, Any]:
    """Return what a client goes by of a response, without what is meant to differ."""
    headers = {name: reply.headers[name] for name in _HEADERS if name in reply.headers}
    if path.startswith(TIMELESS):
        headers = {name: value for name, value in headers.items() if name not in ("etag", "last-modified")}
    body: Any = in_order(reply.json)
    if path.startswith("/accounts/") and reply.status == 200:
        body["data"].pop("password", None)
    return {"status": reply.status, "next page": "next-page" in reply.headers, **headers, "body": body}


_HEADERS = ("etag", "last-modified", "total-records", "total-objects", "allow", "cache-control")

TIMELESS = ("/permissions", f"{B}/collections/unseen/records")
"""Lists whose ETag is the time of the request, or of the first visit."""


def in_order(value: Any) -> Any:
    """Return a JSON value with its principals in order: Kinto has none."""
    if isinstance(value, dict):
        return {name: in_order(item) for name, item in value.items()}
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return sorted(value)
    return [in_order(item) for item in value] if isinstance(value, list) else value


def test_every_answer_is_that_of_kinto(empty_postgresql_url: str, tmp_path: Path) -> None:
    """O-PG-18, O-PG-19: Kinto starts again on its tables, and answers beside us with the same settings.

    Meant to differ: nobody sees hashes of passwords, and a HEAD of a history has its total.
    """
    ini = tmp_path / "kinto.ini"
    ini.write_text(INI.replace("{url}", empty_postgresql_url))
    with serve_kinto(ini) as kinto:
        etags = fill(kinto)
    findings = tmp_path / "findings"
    assert main(["--ini", str(ini), "migrate", "--dry-run", "--report", str(findings)]) == 0
    assert findings.read_text() == ""
    assert main(["--ini", str(ini), "migrate"]) == 0
    app = assemble_app(load(ini=str(ini)))
    differences = []

    with serve_kinto(ini) as kinto:
        for method, path, headers in requests_of(etags):
            body: Any = {"data": {}} if method == "PATCH" else None
            for user in USERS:
                expected = view_of(kinto.ask(user, method, path, body, headers), path)
                answer = Client(app, user).ask(method, path, body, headers)
                names = {name.lower(): value for name, value in answer.headers}
                view = view_of(Reply(answer.status, names, answer.json), path)
                if view != expected:
                    differences.append((user, method, path, headers, expected, view))

    app.extensions["kinto"].close()
    assert differences == []
