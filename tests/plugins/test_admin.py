"""The admin console: a page and its files at `/admin/` (docs/contract/plugins.md 10)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.factory import create_app
from app.settings import SettingError
from tests.support.client import Client
from tests.support.databases import BASICAUTH

CONSOLE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_POLICY = (
    "default-src 'self'; img-src data: *; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'"
)
API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "

Make = Callable[..., Client]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a client of a service with the plugin."""

    def make_client(**settings: Any) -> Client:
        url = f"sqlite:///{tmp_path / 'kinto.sqlite'}"
        return Client(
            create_app({**BASICAUTH, "kinto.includes": "kinto.plugins.admin", "kinto.storage_url": url, **settings})
        )

    return make_client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a console, beside a file that must not be served."""
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "console"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Console é</h1>", encoding="utf-8")
    (folder / "VERSION").write_text("7.8.9\n")
    (folder / "assets" / "main.js").write_text("alert(1)")
    for name, target in {"link.txt": "../secret.txt", "outside": "..", "loop": "loop", "static": "assets"}.items():
        (folder / name).symlink_to(target)
    (folder / ".git").mkdir()
    for hidden in (".env", ".git/config", "assets/.map"):
        (folder / hidden).write_text("secret")
    return folder


def test_the_path_without_a_slash_is_redirected(make: Make) -> None:
    """P-ADM-1."""
    answer = make().as_(None).get("/admin?a=b")

    assert answer.status == 307
    assert answer.headers["Location"] == "http://localhost/v1/admin/"
    assert answer.headers["Content-Security-Policy"] == API_POLICY


def test_the_page_is_that_of_the_folder(make: Make, folder: Path) -> None:
    """P-ADM-1, P-ADM-2."""
    client = make(**{"kinto.admin_assets_path": str(folder)}).as_(None)

    answer, head = client.get("/admin/"), client.head("/admin/")
    fresh = client.get("/admin/", if_none_match=answer.headers["ETag"])

    assert (answer.status, answer.body.decode()) == (200, "<h1>Console é</h1>")
    assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"
    assert answer.headers["Content-Security-Policy"] == PAGE_POLICY
    assert (head.status, head.body) == (200, b"")
    assert (fresh.status, fresh.body) == (304, b"")


def test_files_are_served_with_an_etag(make: Make, folder: Path) -> None:
    """P-ADM-1, P-ADM-2."""
    client = make(**{"kinto.admin_assets_path": str(folder)}).as_(None)

    answer = client.get("/admin/assets/main.js")
    fresh = client.get("/admin/assets/main.js", if_none_match=answer.headers["ETag"])

    assert (answer.status, answer.body) == (200, b"alert(1)")
    assert "javascript" in answer.headers["Content-Type"]
    assert answer.headers["Content-Security-Policy"] == API_POLICY
    assert fresh.status == 304
    assert client.get("/admin/assets/main.js/").status == 307
    assert client.get("/admin/static/main.js").body == b"alert(1)"


@pytest.mark.parametrize(
    "path",
    [
        "/admin/none.js",
        "/admin/assets",
        "/admin/../secret.txt",
        "/admin/assets/../../secret.txt",
        "/admin/%2e%2e/secret.txt",
        "/admin/%2e%2e%2fsecret.txt",
        "/admin/..%5csecret.txt",
        "/admin/assets//../../secret.txt",
        "/admin/%2fetc/passwd",
        "/admin/.env",
        "/admin/.git/config",
        "/admin/assets/.map",
        "/admin/link.txt",
        "/admin/outside/secret.txt",
        "/admin/loop",
    ],
)
def test_nothing_else_is_served(make: Make, folder: Path, path: str) -> None:
    """P-ADM-1."""
    answer = make(**{"kinto.admin_assets_path": str(folder)}).as_(None).get(path)

    assert (answer.status, answer.json["errno"]) == (404, 111)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": '"other", {etag}'}, 304),
        ({"If-None-Match": "W/{etag}"}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": "no tag"}, 200),
        ({"If-Match": '"other"'}, 412),
        *(
            ({"Range": text}, 200)
            for text in ("bytes=0-2", "bytes=99-", "bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "x")
        ),
    ],
)
@pytest.mark.parametrize("path", ["/admin/", "/admin/assets/main.js"])
def test_conditions_hold_and_ranges_are_ignored(
    make: Make, folder: Path, path: str, headers: dict[str, str], status: int
) -> None:
    """P-ADM-1 (RFC 9110, sections 13.1 and 14.2): on the page and on files, GET and HEAD."""
    client = make(**{"kinto.admin_assets_path": str(folder)}).as_(None)
    etag = client.get(path).headers["ETag"]
    conditions = {name: value.format(etag=etag) for name, value in headers.items()}

    answers = [client.ask(method, path, headers=conditions) for method in ("GET", "HEAD")]

    assert [answer.status for answer in answers] == [status] * 2
    assert (answers[0].json or {}).get("errno") == (114 if status == 412 else None)


@pytest.mark.parametrize(("path", "status"), [("/admin/", 405), ("/admin/x", 405)])
def test_only_reads_are_allowed(make: Make, path: str, status: int) -> None:
    assert make().ask("POST", path).status == status


def test_the_capability_has_the_version_of_the_folder(make: Make, folder: Path) -> None:
    """P-ADM-3."""
    capabilities = [
        make(**settings).get("/").json["capabilities"]["admin"]
        for settings in ({}, {"kinto.admin_assets_path": str(folder)})
    ]

    assert capabilities == [
        {
            "description": "Serves the admin console.",
            "url": "https://github.com/Kinto/kinto-admin/",
            "version": version,
        }
        for version in ("6.6.0", "7.8.9")
    ]


@pytest.mark.parametrize("missing", ["VERSION", "index.html"])
def test_a_folder_without_a_console_stops_the_start(make: Make, folder: Path, missing: str) -> None:
    """P-ADM-3."""
    (folder / missing).unlink()

    with pytest.raises(SettingError, match=rf"^admin_assets_path: the file '.*{missing}' cannot be read"):
        make(**{"kinto.admin_assets_path": str(folder)})


def test_permissions_are_switched_on(make: Make) -> None:
    """P-ADM-4."""
    client = make()

    assert client.get("/permissions").status == 200
    assert "permissions_endpoint" in client.get("/").json["capabilities"]


def test_the_console_of_the_service_is_there_by_default(make: Make) -> None:
    """P-ADM-5: in place of a page that explains how to install one. It works with a strict policy."""
    client = make().as_(None)

    page, script = client.get("/admin/"), client.get("/admin/main.js")

    assert page.status == 200
    assert b'<script type="module" src="main.js">' in page.body
    assert page.headers["Content-Security-Policy"] == CONSOLE_POLICY
    assert (script.status, script.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
