"""The pages about the service itself: hello, heartbeats, version, contribute (section 2.1 to 2.6)."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from app.factory import create_app
from app.version import VERSION
from backends import BackendError
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Client, user_id
from tests.support.databases import BASICAUTH, sqlite_url


@on_sqlite
def test_hello_tells_what_the_service_is_without_authentication(client: Client) -> None:
    """C-UTIL-1, C-UTIL-3, C-UTIL-4, C-UTIL-5, C-UTIL-8, C-UTIL-9, C-UTIL-10, C-UTIL-11."""
    answer = client.as_(None).get("/")

    assert answer.status == 200
    assert answer.json == {
        "project_name": "kinto",
        "project_version": VERSION,
        "http_api_version": "1.23",
        "project_docs": "https://kinto.readthedocs.io/",
        "url": "http://localhost/v1/",
        "config": None,
        "settings": {"batch_max_requests": 25, "readonly": False, "explicit_permissions": True},
        "capabilities": {
            "basicauth": {
                "description": "Very basic authentication sessions. Not for production use.",
                "url": "http://kinto.readthedocs.io/en/stable/api/1.x/authentication.html",
            }
        },
    }
    assert {"ETag", "Last-Modified", "Cache-Control", "Expires"}.isdisjoint(answer.headers.keys())


@on_sqlite
@pytest.mark.parametrize(
    ("setting", "value", "members"),
    [
        pytest.param("project_name", "blog", {"project_name": "blog"}, id="C-UTIL-2 name"),
        pytest.param("project_version", "7.8", {"project_version": "7.8"}, id="C-UTIL-2 version"),
        pytest.param("http_api_version", "1.99", {"http_api_version": "1.99"}, id="C-UTIL-2 version of the API"),
        pytest.param("project_docs", "https://docs.test/", {"project_docs": "https://docs.test/"}, id="C-UTIL-2 docs"),
        pytest.param("eos", "2099-01-01", {"eos": "2099-01-01"}, id="C-UTIL-9 end of service"),
    ],
)
def test_hello_shows_what_is_set(
    client_with: ClientMaker, setting: str, value: str, members: Mapping[str, Any]
) -> None:
    assert client_with({f"kinto.{setting}": value}).get("/").json.items() >= members.items()


@on_sqlite
def test_hello_shows_public_settings_with_their_types(client_with: ClientMaker) -> None:
    """C-UTIL-4."""
    client = client_with(
        {"kinto.batch_max_requests": "7", "kinto.readonly": "true", "kinto.explicit_permissions": "false"}
    )
    client.app.extensions["kinto"].public_settings["of_a_plugin"] = ["a", 1]

    assert client.get("/").json["settings"] == {
        "batch_max_requests": 7,
        "readonly": True,
        "explicit_permissions": False,
        "of_a_plugin": ["a", 1],
    }


@on_sqlite
@pytest.mark.parametrize(
    ("settings", "capability"),
    [
        ({"kinto.experimental_collection_schema_validation": "true"}, "schema"),
        ({"kinto.experimental_permissions_endpoint": "true"}, "permissions_endpoint"),
        ({"kinto.announce_indexes": "true"}, "indexes"),
    ],
    ids=["schema", "permissions_endpoint", "indexes"],
)
def test_hello_names_a_capability_that_is_switched_on(
    client_with: ClientMaker, settings: dict[str, Any], capability: str
) -> None:
    """C-UTIL-8."""
    capabilities = client_with(settings).get("/").json["capabilities"]

    assert capabilities.keys() == {"basicauth", capability}
    assert all({"description", "url"} <= each.keys() for each in capabilities.values())


@on_sqlite
def test_hello_shows_what_a_plugin_adds_to_its_capability(client: Client) -> None:
    """C-UTIL-8."""
    client.app.extensions["kinto"].add_capability("sync", "Syncs.", "https://sync.test", version="1.2", limits=[1])

    assert client.get("/").json["capabilities"]["sync"] == {
        "description": "Syncs.",
        "url": "https://sync.test",
        "version": "1.2",
        "limits": [1],
    }


def test_hello_tells_who_asks_with_their_groups(client: Client) -> None:
    """C-UTIL-6."""
    client.put("/buckets/b")
    client.put("/buckets/b/groups/g", {"members": [user_id("bob")]})
    client.put("/buckets/b/groups/others", {"members": [user_id("eve")]})

    user = client.as_("bob").get("/").json["user"]

    assert user.keys() == {"id", "principals"}
    assert user["id"] == user_id("bob")
    assert sorted(user["principals"]) == sorted(
        [user_id("bob"), "system.Everyone", "system.Authenticated", "/buckets/b/groups/g"]
    )


@on_sqlite
def test_hello_shows_the_profile_that_a_policy_gives(client: Client) -> None:
    """C-UTIL-7."""
    client.app.extensions["kinto"].user_info.append(lambda identity: {"profile": {"of": identity.user_id}})

    assert client.get("/").json["user"]["profile"] == {"of": client.id}


@on_sqlite
@pytest.mark.parametrize("credentials", ["Basic !!!", "Basic", "Bearer abc", "nonsense"])
def test_hello_takes_bad_credentials_for_none(client: Client, credentials: str) -> None:
    """C-UTIL-12, C-ERR-45."""
    answer = client.get("/", authorization=credentials)

    assert answer.status == 200
    assert "user" not in answer.json


def test_hello_tells_which_configuration_file_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C-UTIL-10."""
    ini = tmp_path / "kinto.ini"
    ini.write_text(f"[app:main]\nkinto.storage_url = sqlite:///{tmp_path}/kinto.sqlite\n")
    monkeypatch.setenv("KINTO_INI", str(ini))
    app = create_app()

    config = Client(app, None).get("/").json["config"]
    app.extensions["kinto"].close()

    assert config["path"] == str(ini)
    assert config["hash"] == hashlib.sha256(ini.read_bytes()).hexdigest()
    assert datetime.fromisoformat(config["modified"]).timestamp() == pytest.approx(ini.stat().st_mtime)


@on_sqlite
@pytest.mark.parametrize(("seconds", "control"), [(None, "max-age=86400"), ("60", "max-age=60")], ids=["a day", "60 s"])
def test_hello_of_a_readonly_service_may_be_kept(client_with: ClientMaker, seconds: str | None, control: str) -> None:
    """C-UTIL-11."""
    more = {} if seconds is None else {"kinto.root_cache_expires_seconds": seconds}

    answer = client_with({"kinto.readonly": "true", **more}).as_(None).get("/")

    assert answer.headers["Cache-Control"] == control
    assert parsedate_to_datetime(answer.headers["Expires"]).year > 2000


def test_the_heartbeat_asks_every_backend_and_leaves_nothing_behind(client: Client) -> None:
    """C-UTIL-13, C-UTIL-16."""
    before = client.get("/buckets").headers["ETag"]

    for _ in range(3):
        answer = client.as_(None).get("/__heartbeat__")

    assert (answer.status, answer.json) == (200, {"storage": True, "permission": True, "cache": True})
    assert client.get("/buckets?_since=0").data == []
    assert client.get("/buckets").headers["ETag"] == before


def test_the_heartbeat_is_503_when_the_database_is_down_and_that_of_load_balancers_is_not() -> None:
    """C-UTIL-14, C-UTIL-17."""
    app = create_app({**BASICAUTH, "kinto.storage_url": "postgresql://postgres@127.0.0.1:1/none"})
    client = Client(app, None)

    beat, balancer = client.get("/__heartbeat__"), client.get("/__lbheartbeat__")
    app.extensions["kinto"].close()

    assert (beat.status, beat.json) == (503, {"storage": False, "permission": False, "cache": True})
    assert "Retry-After" not in beat.headers
    assert (balancer.status, balancer.json) == (200, {})


def broken() -> bool:
    raise BackendError("down")


@on_sqlite
@pytest.mark.parametrize(
    ("probe", "status", "state"),
    [
        pytest.param(lambda: True, 200, True, id="C-UTIL-13 is well"),
        pytest.param(lambda: None, 200, None, id="C-UTIL-15 cannot say"),
        pytest.param(lambda: False, 503, False, id="C-UTIL-14 is ill"),
        pytest.param(broken, 503, False, id="C-UTIL-15 raises"),
        pytest.param(lambda: dict[str, bool]()["nothing"], 503, False, id="C-UTIL-15 raises what nobody expected"),
    ],
)
def test_the_heartbeat_shows_what_a_plugin_says(client: Client, probe: Any, status: int, state: bool | None) -> None:
    client.app.extensions["kinto"].add_heartbeat("plugin", probe)

    answer = client.get("/__heartbeat__")

    assert answer.status == status
    assert answer.json == {"storage": True, "permission": True, "cache": True, "plugin": state}


@on_sqlite
def test_the_heartbeat_does_not_wait_longer_than_its_setting_says(client_with: ClientMaker) -> None:
    """C-UTIL-15."""
    client, done = client_with({"kinto.heartbeat_timeout_seconds": "2"}), threading.Event()
    client.app.extensions["kinto"].add_heartbeat("slow", done.wait)

    answer = client.get("/__heartbeat__")
    done.set()

    assert (answer.status, answer.json["slow"], answer.json["storage"]) == (503, False, True)


@on_sqlite
def test_the_heartbeat_asks_all_at_the_same_time(client: Client) -> None:
    """C-UTIL-16."""
    meeting = threading.Barrier(2)
    for name in ("one", "other"):
        client.app.extensions["kinto"].add_heartbeat(name, lambda: meeting.wait(timeout=5) >= 0)

    assert client.get("/__heartbeat__").status == 200


@on_sqlite
@pytest.mark.parametrize(("readonly", "status"), [("true", 200), ("false", 503)], ids=["readonly", "not readonly"])
def test_the_heartbeat_of_a_readonly_service_needs_no_write(
    client_with: ClientMaker, readonly: str, status: int
) -> None:
    """C-UTIL-16: somebody else holds the only right to write."""
    client = client_with({"kinto.readonly": readonly, "kinto.heartbeat_timeout_seconds": "2"})
    writer = sqlite3.connect(sqlite_url().removeprefix("sqlite:///"), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    answer = client.get("/__heartbeat__")
    writer.execute("ROLLBACK")
    writer.close()

    assert answer.status == status


@on_sqlite
def test_the_version_is_what_the_file_holds(client_with: ClientMaker, tmp_path: Path) -> None:
    """C-UTIL-18."""
    file = tmp_path / "version.json"
    file.write_text(json.dumps({"name": "kinto", "version": "1.2", "commit": "é"}))
    client = client_with({"kinto.version_json_path": str(file)})

    first = client.as_(None).get("/__version__")
    file.unlink()

    assert (first.status, first.json) == (200, {"name": "kinto", "version": "1.2", "commit": "é"})
    assert client.get("/__version__").json == first.json


@on_sqlite
def test_the_version_is_not_found_without_its_file(client_with: ClientMaker, tmp_path: Path) -> None:
    """C-UTIL-19."""
    answer = client_with({"kinto.version_json_path": str(tmp_path / "none.json")}).get("/__version__")

    assert (answer.status, answer.json["errno"]) == (404, 111)


@on_sqlite
def test_contribute_tells_where_to_help(client: Client) -> None:
    """C-UTIL-20."""
    answer = client.as_(None).get("/contribute.json")

    assert answer.status == 200
    assert answer.json.keys() == {"name", "description", "repository", "participate", "bugs", "keywords"}
    assert answer.json["repository"].keys() == {"url", "license", "tests"}
    assert answer.json["bugs"].keys() == {"list", "report"}


@on_sqlite
@pytest.mark.parametrize("path", ["/", "/__heartbeat__", "/__lbheartbeat__", "/contribute.json", "/__api__"])
def test_a_utility_answers_whatever_is_accepted_and_to_head_and_options(client: Client, path: str) -> None:
    """C-UTIL-23."""
    anybody = client.as_(None)
    preflight = {"Origin": "https://app.test", "Access-Control-Request-Method": "GET"}

    got = anybody.ask("GET", path, raw=b"{", headers={"Accept": "text/html", "Content-Type": "application/json"})

    assert (got.status, got.headers["Content-Type"]) == (200, "application/json")
    assert (anybody.head(path).status, anybody.head(path).body) == (200, b"")
    assert anybody.ask("OPTIONS", path, headers=preflight).status == 200
