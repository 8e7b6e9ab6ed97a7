"""`GET /__metrics__` and its capability (operations contract, 5.3 and 5.4; plugins contract, 11)."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.factory import create_app
from app.settings import SettingError
from backends.metrics.limits import LabelLimit
from tests.api.conftest import on_sqlite
from tests.plugins.conftest import ClientMaker
from tests.support.client import Answer, Client, basic, user_id
from tests.support.databases import BASICAUTH
from tests.support.services import serve
from tests.support.statsd_server import statsd_server

PROMETHEUS: Mapping[str, Any] = {"kinto.includes": "kinto.plugins.prometheus"}
RECORD = "/buckets/b/collections/c/records/r"


def _filled(client: Client) -> Client:
    client.put("/buckets/b")
    client.put("/buckets/b/collections/c")
    client.put(RECORD)
    return client


def _samples(page: str) -> dict[str, float]:
    """Return the samples of a page by name with labels."""
    lines = (line.rpartition(" ") for line in page.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def _scraped(client: Client) -> dict[str, float]:
    return _samples(client.as_(None).get("/__metrics__").body.decode())


def _labels(name: str, samples: Mapping[str, float]) -> list[str]:
    """Return the labels of all samples of a name."""
    return [sample.removeprefix(name) for sample in samples if sample.partition("{")[0] == name]


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    return _filled(client_with(PROMETHEUS, kept=False))


@on_sqlite
class TestPage:
    """O-MON-16 to O-MON-18."""

    def test_everybody_may_read_it(self, client: Client) -> None:
        answer: Answer = client.as_(None).get("/__metrics__")

        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache, no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    def test_it_names_what_kinto_names(self, client: Client) -> None:
        client.get(RECORD)

        page = client.get("/__metrics__").body.decode()
        types = dict(re.findall(r"^# TYPE (kinto_\w+) (\w+)$", page, re.M))
        assert {name: kind for name, kind in types.items() if not name.endswith("_created")} == {
            "kinto_backend_storage_seconds": "histogram",
            "kinto_backend_permission_seconds": "histogram",
            "kinto_backend_cache_seconds": "histogram",
            "kinto_authentication_basicauth_seconds": "histogram",
            "kinto_request_summary_total": "counter",
            "kinto_request_duration_seconds": "histogram",
            "kinto_request_size": "summary",
            "kinto_users_total": "counter",
            "kinto_authentication_total": "counter",
            "kinto_cache_hits_total": "counter",
            "kinto_cache_misses_total": "counter",
        }

    def test_a_request_counts_with_its_labels(self, client: Client) -> None:
        client.get(RECORD)
        client.get(RECORD)

        labels = 'bucket_id="b",collection_id="c",endpoint="record-object",group_id="",method="get",record_id="r"'
        samples = _scraped(client)
        assert samples[f'kinto_request_summary_total{{{labels},status="200"}}'] == 2
        assert samples[f"kinto_request_duration_seconds_count{{{labels}}}"] == 2
        assert samples['kinto_authentication_total{type="basicauth"}'] == 5
        assert samples[f'kinto_users_total{{auth="basicauth",userid="{user_id("alice").partition(":")[2]}"}}'] == 5

    def test_statements_feed_the_timers_of_the_backends(self, client: Client) -> None:
        before = _scraped(client)

        client.get(RECORD)

        after = _scraped(client)
        for part, method in (
            ("storage", "get"),
            ("permission", "check_permission"),
            ("permission", "get_user_principals"),
        ):
            name = f'kinto_backend_{part}_seconds_count{{method="{method}"}}'
            assert after[name] == before[name] + 1

    def test_methods_show_from_the_start(self, client_with: ClientMaker) -> None:
        samples = _scraped(client_with(PROMETHEUS, kept=False))

        assert samples['kinto_backend_cache_seconds_count{method="ttl"}'] == 0
        assert samples['kinto_backend_storage_seconds_count{method="delete_all"}'] == 0
        assert samples["kinto_cache_hits_total"] == 0

    def test_a_cache_counts_what_it_knew(self, client: Client) -> None:
        cache = client.app.extensions["kinto"].cache

        cache.set("key", 1, 60)
        for key in ("key", "key", "other"):
            cache.get(key)

        samples = _scraped(client)
        assert (samples["kinto_cache_hits_total"], samples["kinto_cache_misses_total"]) == (2, 1)

    @pytest.mark.parametrize(
        ("method", "path", "endpoint", "status"),
        [
            ("GET", "/", "hello", 200),
            ("GET", "/__heartbeat__", "heartbeat", 200),
            ("GET", "/contribute.json", "contribute.json", 200),
            ("GET", "/__api__", "openapi", 200),
            ("DELETE", "/__user_data__/x", "user-data", 403),
            ("GET", "/buckets", "bucket-plural", 200),
            ("GET", "/buckets/b", "bucket-object", 200),
            ("GET", f"{RECORD}x", "record-object", 404),
            ("POST", "/buckets/b", "bucket-object", 405),
            ("OPTIONS", RECORD, "record-object", 400),
            ("GET", "/nope", "unknown", 404),
            ("PATCH", "/batch", "unnamed", 405),
            ("GET", "/buckets/", "redirect_to_version", 307),
        ],
    )
    def test_the_endpoint_is_the_name_of_the_service(
        self, client: Client, method: str, path: str, endpoint: str, status: int
    ) -> None:
        """O-MON-18: ids are left out from status 400 on."""
        before = set(_labels("kinto_request_summary_total", _scraped(client)))

        client.ask(method, path)

        (new,) = set(_labels("kinto_request_summary_total", _scraped(client))) - before - _SCRAPES
        assert f'endpoint="{endpoint}"' in new
        assert f'method="{method.lower()}"' in new
        assert f'status="{status}"' in new
        assert status < 400 or 'bucket_id="",collection_id=""' in new

    def test_members_of_a_batch_count_too(self, client: Client) -> None:
        client.batch({"path": RECORD}, {"path": "/"}, {"path": "/__metrics__"})

        labels = _labels("kinto_request_summary_total", _scraped(client))
        assert sum('endpoint="record-object"' in one and 'method="get"' in one for one in labels) == 1
        assert sum('endpoint="hello"' in one for one in labels) == 1
        assert sum('endpoint="unknown"' in one for one in labels) == 1

    def test_a_scrape_counts_itself_once(self, client: Client) -> None:
        for _ in range(3):
            samples = _scraped(client)

        assert samples[f"kinto_request_summary_total{min(_SCRAPES)}"] == 2


_SCRAPES = {
    '{bucket_id="",collection_id="",endpoint="prometheus_metrics",group_id="",method="get",record_id="",status="200"}'
}


class TestSettings:
    """O-MON-17, P-PROM-1."""

    @on_sqlite
    def test_the_capability_tells_prefix_and_what_is_disabled(self, client_with: ClientMaker) -> None:
        settings = {
            **PROMETHEUS,
            "kinto.project_name": "remote-settings",
            "kinto.prometheus_disabled_metrics": "remotesettings_request_size request_summary",
        }

        client = client_with(settings, kept=False)

        assert client.get("/").json["capabilities"]["prometheus"] == {
            "description": "Prometheus metrics.",
            "url": "https://github.com/Kinto/kinto/",
            "prefix": "remotesettings_",
            "disabled_metrics": ["remotesettings_request_size", "request_summary"],
        }
        names = {name.partition("{")[0] for name in _scraped(client)}
        assert "remotesettings_request_duration_seconds_count" in names
        assert not {"remotesettings_request_size_count", "remotesettings_request_summary_total"} & names

    @on_sqlite
    def test_labels_are_the_parts_of_urls_that_the_setting_names(self, client_with: ClientMaker) -> None:
        client = _filled(client_with({**PROMETHEUS, "kinto.metrics_matchdict_fields": "bucket_id"}, kept=False))

        labels = '{bucket_id="b",endpoint="record-object",method="put",status="201"}'
        assert _scraped(client)[f"kinto_request_summary_total{labels}"] == 1

    @on_sqlite
    def test_buckets_and_created_samples_are_those_of_the_settings(self, client_with: ClientMaker) -> None:
        settings = {
            **PROMETHEUS,
            "kinto.prometheus_histogram_buckets": "0.2 2",
            "kinto.prometheus_created_metrics_enabled": False,
        }

        samples = _scraped(client_with(settings, kept=False))

        bounds = [
            name.split('"')[1] for name in samples if "storage" in name and 'method="get"' in name and "le=" in name
        ]
        assert bounds == ["0.2", "2.0", "+Inf"]
        assert not any("_created" in name for name in samples)

    @pytest.mark.parametrize("buckets", ["a b", "2 1"], ids=["no numbers", "not ascending"])
    def test_buckets_that_make_no_sense_refuse_the_start(self, buckets: str) -> None:
        with pytest.raises(SettingError, match="prometheus_histogram_buckets"):
            create_app({**PROMETHEUS, "kinto.prometheus_histogram_buckets": buckets})

    @on_sqlite
    def test_statsd_runs_beside_it(self, client_with: ClientMaker) -> None:
        """O-MON-14."""
        with statsd_server() as server:
            client = client_with({**PROMETHEUS, "kinto.statsd_url": server.url}, kept=False).as_(None)
            client.get("/")

            assert "kinto.view.hello.GET" in server.names()
        assert any('endpoint="hello"' in name for name in _scraped(client))

    @on_sqlite
    def test_there_is_no_page_without_the_plugin(self, client_with: ClientMaker) -> None:
        client = client_with()

        assert client.get("/__metrics__").status == 404
        assert "prometheus" not in client.get("/").json["capabilities"]


class TestWorkers:
    """O-MON-19: the values of all workers meet, of dead ones too."""

    def test_two_workers_show_one_sum_when_one_was_killed(self, tmp_path: pathlib.Path) -> None:
        folder = tmp_path / "metrics"
        folder.mkdir()
        (folder / "counter_1.db").write_bytes(b"left over by a run before")
        with serve(_shared(tmp_path, folder), workers=2) as url:
            _wait(lambda: len(_workers(folder)) == 2)
            for _ in range(40):
                _fetch(f"{url}/buckets")
            first = _summary(url)

            killed = min(_workers(folder))
            os.kill(killed, signal.SIGKILL)
            _wait(lambda: len(_workers(folder)) == 3)
            for _ in range(20):
                _fetch(f"{url}/buckets")
            pages = [_summary(url) for _ in range(10)]

        assert first == 40
        assert pages == [60] * 10

    def test_a_folder_that_is_gone_is_an_empty_answer(self, tmp_path: pathlib.Path) -> None:
        folder = tmp_path / "metrics"
        with serve(_shared(tmp_path, folder)) as url:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()

            status, body = _fetch(f"{url}/__metrics__")
            assert (status, body) == (204, "")
            assert _fetch(f"{url}/")[0] == 200


def _shared(tmp_path: pathlib.Path, folder: pathlib.Path) -> dict[str, Any]:
    return {
        **BASICAUTH,
        **PROMETHEUS,
        "kinto.storage_url": f"sqlite:///{tmp_path}/kinto.sqlite",
        "prometheus_multiproc_dir": str(folder),
    }


def _workers(folder: pathlib.Path) -> set[int]:
    """Return the processes that have left values."""
    return {int(file.stem.rpartition("_")[2]) for file in folder.glob("histogram_*.db")}


def _wait(ready: Any) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline, "the workers did not start"
        time.sleep(0.05)


def _fetch(url: str) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": basic("alice")})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, answer.read().decode()


def _summary(url: str) -> float:
    samples = _samples(_fetch(f"{url}/__metrics__")[1])
    return sum(
        value for name, value in samples.items() if "request_summary" in name and 'endpoint="bucket-plural"' in name
    )


@on_sqlite
class TestBound:
    """Label values live as long as the process: whoever asks cannot make them without bound."""

    def test_invented_methods_are_one(self, client: Client) -> None:
        def series(name: str) -> set[str]:
            for path in ("/nowhere", RECORD, "/batch", "/", "/buckets"):
                client.ask(name, path)
            return set(_scraped(client))

        _scraped(client)
        first, *later = [series(name) for name in ("FOO", "BAR", "M-SEARCH", "TRACE", "X" * 100)]

        assert all(names == first for names in later)
        assert sum(
            'method="other"' in name for name in _labels("kinto_request_summary_total", dict.fromkeys(first, 0.0))
        )

    def test_invented_users_are_bounded(self, client_with: ClientMaker) -> None:
        client = client_with({**PROMETHEUS, "kinto.metrics_max_label_values": 3}, kept=False)

        for number in range(20):
            client.as_(f"nobody{number}").get("/")
            client.as_(f"nobody{number}").batch({"path": "/buckets"}, {"path": "/"})

        users = _labels("kinto_users_total", _scraped(client))
        assert len(users) == 4
        assert sum('userid="other"' in labels for labels in users) == 1

    def test_ids_are_bounded_at_each_depth(self, client_with: ClientMaker) -> None:
        client = client_with({**PROMETHEUS, "kinto.metrics_max_label_values": 3}, kept=False)

        for bucket in range(6):
            client.put(f"/buckets/b{bucket}")
            client.put(f"/buckets/b{bucket}/collections/c")
            for record in range(6):
                client.put(f"/buckets/b{bucket}/collections/c/records/r{record}")
                client.put(f"/buckets/b{bucket}/groups/g{record}", {"members": []})
                client.get(f"/buckets/b{bucket}/collections/nowhere{record}")

        samples = _scraped(client)
        for name, most in (("bucket_id", 4), ("collection_id", 2), ("group_id", 4), ("record_id", 4)):
            values = {re.search(f'{name}="([^"]*)"', each)[1] for each in samples if f"{name}=" in each}  # type: ignore[index]
            assert len(values - {""}) <= most, values
        assert any('bucket_id="b0",collection_id="c"' in each and 'record_id="r0"' in each for each in samples)
        assert any('bucket_id="b0",collection_id="c"' in each and 'record_id="other"' in each for each in samples)


class TestBoundOfValues:
    """`Bound`, whatever the values are."""

    @given(paths=st.lists(st.tuples(*[st.text("abcdef", max_size=2)] * 3)), most=st.integers(1, 4))
    def test_no_more_paths_come_out_than_the_bound_allows(self, paths: list[tuple[str, ...]], most: int) -> None:
        bound = LabelLimit(most)

        labels = [bound(path) for path in paths]

        beginnings = 1
        for depth in (1, 2, 3):
            # Values that are kept, and `other` or nothing after each beginning.
            beginnings = most + 2 * beginnings
            assert len({path[:depth] for path in labels}) <= beginnings
        assert [bound(path) for path in paths] == labels
