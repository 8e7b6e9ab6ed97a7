"""Places that take measurements, names of what happens, and what is wrapped to be timed (operations contract, 5)."""

from __future__ import annotations

import inspect
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest

from app.identity import ANONYMOUS, Identity
from app.kinds import Kind, Route
from app.observations import (
    Authentication,
    BackendCalls,
    CacheLookup,
    Decision,
    HttpResponse,
    Notification,
    RequestHead,
    observe_with,
)
from app.operation import Operation
from app.parsing.ids import NameGenerator
from backends.cache import Cache
from backends.metrics import NO_METRICS, CombinedMetrics, Metrics, calls
from backends.metrics.batcher import DELAY_SECONDS, Batcher, flush_all
from backends.metrics.prometheus import Prometheus, metric_prefix
from backends.metrics.statsd import StatsD, open_metrics
from backends.storage import Storage, Transaction
from measuring.backends import TimedCache, TimedStorage
from measuring.names import GuideNames, KintoNames
from measuring.transactions import TimedTransaction
from tests.support.services import ROOT
from tests.support.statsd_server import Line, StatsdServer, statsd_server


@pytest.fixture
def server() -> Iterator[StatsdServer]:
    with statsd_server() as listening:
        yield listening


def _prometheus(**changed: Any) -> Prometheus:
    options: dict[str, Any] = {"prefix": "kinto_", "disabled_names": (), "buckets": (0.1, 1.0), "created": True}
    return Prometheus(**{**options, **changed})


def _page(place: Prometheus) -> str:
    page = place.page()
    assert page is not None
    return page.decode()


@pytest.fixture
def statsd(server: StatsdServer) -> Iterator[StatsD]:
    place = open_metrics(server.url, "kinto")
    yield place
    place.close()


@pytest.fixture
def only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no thread send a batch in the middle of what a test adds, however long that takes."""
    monkeypatch.setattr(Batcher, "_wake", lambda self: None)


PLACES: dict[str, Callable[[StatsD], Metrics]] = {
    "nothing configured": lambda statsd: NO_METRICS,
    "StatsD": lambda statsd: statsd,
    "Prometheus": lambda statsd: _prometheus(),
    "both": lambda statsd: CombinedMetrics([statsd, _prometheus()]),
}


@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES.keys())
def test_a_place_takes_every_measurement(statsd: StatsD, make: Callable[[StatsD], Metrics]) -> None:
    """What plugins may use, whatever is configured (plugins contract, 11)."""
    place = make(statsd)

    with place.timer("a.block", [("method", "get")]):
        place.timing("a.timing", 0.1)
        place.observe("a.size", 10, [("kind", "é:|@\n")])
        place.count("a.counter")
        place.count("some.users", unique="basicauth:é|x")
        place.count("some.requests", 2, [("method", "get"), ("status", "200")])


@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES.keys())
def test_a_timer_lets_through_what_its_block_raises(statsd: StatsD, make: Callable[[StatsD], Metrics]) -> None:
    with pytest.raises(ZeroDivisionError), make(statsd).timer("a.block"):
        raise ZeroDivisionError


class TestStatsD:
    """The wire (O-MON-1 to O-MON-4, O-MON-13, O-MON-15)."""

    @pytest.mark.parametrize(
        ("measure", "line"),
        [
            pytest.param(lambda place: place.timing("a.b", 0.0015), Line("kinto.a.b", "1.500000", "ms"), id="a timing"),
            pytest.param(lambda place: place.observe("size", 1903), Line("kinto.size", "1903", "g"), id="a value"),
            pytest.param(lambda place: place.count("hits"), Line("kinto.hits", "1", "c"), id="a counter"),
            pytest.param(
                lambda place: place.count("users", unique="account.bob@x.org"),
                Line("kinto.users", "account.bob@x.org", "s"),
                id="a set",
            ),
            pytest.param(
                lambda place: place.count("users", unique=[("auth", "account"), ("userid", "a:b")]),
                Line("kinto.users", "auth.account.userid.ab", "s"),
                id="a set of labels, without colons",
            ),
            pytest.param(
                lambda place: place.timing("seconds", 1, [("method", "get"), ("id", "")]),
                Line("kinto.seconds.method.get.id.", "1000.000000", "ms"),
                id="a timing with labels",
            ),
            pytest.param(
                lambda place: place.count("listeners.a:b|c@d é"),
                Line("kinto.listeners.a.b.c.d..", "1", "c"),
                id="a name with characters that mean something on the wire",
            ),
        ],
    )
    def test_a_measurement_is_one_line(
        self, server: StatsdServer, statsd: StatsD, measure: Callable[[Metrics], None], line: Line
    ) -> None:
        measure(statsd)

        assert server.lines() == [line]

    def test_a_timer_sends_a_measured_time(self, server: StatsdServer, statsd: StatsD) -> None:
        start = time.perf_counter()
        with statsd.timer("block"):
            time.sleep(0.01)
        most = (time.perf_counter() - start) * 1000

        (line,) = server.lines()
        assert 10 <= float(line.value) <= most

    @pytest.mark.usefixtures("only_when_asked")
    def test_what_is_measured_soon_after_each_other_shares_a_packet(self, server: StatsdServer, statsd: StatsD) -> None:
        for number in range(10):
            statsd.timing(f"timer-{number}", 0.1)

        assert len(server.packets()) == 1

    @pytest.mark.usefixtures("only_when_asked")
    def test_packets_are_no_longer_than_a_frame(self, server: StatsdServer, statsd: StatsD) -> None:
        names = [f"counter-{number}-{'x' * (number % 100)}" for number in range(200)]
        for name in names:
            statsd.count(name)

        packets = server.packets()
        assert max(map(len, packets)) <= 1432
        assert "\n".join(packets).split("\n") == [f"kinto.{name}:1|c" for name in names]

    @pytest.mark.usefixtures("only_when_asked")
    def test_a_line_that_is_longer_than_a_frame_is_a_packet(self, server: StatsdServer, statsd: StatsD) -> None:
        names = ["before", "x" * 2000, "after"]
        for name in names:
            statsd.count(name)

        assert server.packets() == [f"kinto.{name}:1|c" for name in names]

    def test_nothing_is_lost_between_threads(self, server: StatsdServer, statsd: StatsD) -> None:
        """Many threads add lines while those that are due are sent."""

        def count(thread: int) -> None:
            for number in range(250):
                statsd.count(f"{thread}.{number}")
                if number % 50 == 0:
                    time.sleep(DELAY_SECONDS)

        threads = [threading.Thread(target=count, args=(thread,)) for thread in range(8)]
        for each in threads:
            each.start()
        names = server.names()
        for each in threads:
            each.join()

        names += server.names()
        assert sorted(names) == sorted(f"kinto.{thread}.{number}" for thread in range(8) for number in range(250))

    def test_what_waits_is_sent_when_the_place_is_closed(
        self, server: StatsdServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        place = open_metrics(server.url, "kinto")
        place.count("last")
        place.close()
        for _ in range(1000):
            place.count("too late")

        assert server.names() == ["kinto.last"]
        assert caplog.messages == []

    @pytest.mark.parametrize(
        ("ending", "sent"),
        [("", ["parent", "last"]), ("os._exit(0)", [])],
        ids=["when the process ends", "not when it is killed"],
    )
    def test_what_waits_is_sent(self, server: StatsdServer, ending: str, sent: list[str]) -> None:
        program = f"""
import os
from backends.metrics.statsd import open_metrics
place = open_metrics({server.url!r}, "")
place.count("parent")
place.count("last")
{ending}
"""
        subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)

        assert server.names() == sent

    def test_a_fork_sends_its_own_alone(self, server: StatsdServer) -> None:
        """What waits in the parent is the parent's, and the child has a thread of its own to send."""
        program = f"""
import os, time
from backends.metrics.statsd import open_metrics
place = open_metrics({server.url!r}, "")
place.count("parent")
if os.fork() == 0:
    place.count("child")
    time.sleep(1)
    os._exit(0)
os.wait()
"""
        subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)

        assert sorted(server.names()) == ["child", "parent"]

    @pytest.mark.parametrize("url", ["udp://127.0.0.1:9", "udp://192.0.2.1:8125"], ids=["closed port", "dead address"])
    def test_a_server_that_is_not_there_costs_no_time(self, url: str) -> None:
        """O-MON-15."""
        place = open_metrics(url, "kinto")

        start = time.perf_counter()
        for _ in range(1000):
            place.timing("a.timer", 0.1)

        assert time.perf_counter() - start < 1
        place.close()

    def test_a_host_that_nobody_knows_is_refused(self) -> None:
        with pytest.raises(OSError, match=r".+"):
            open_metrics("udp://no-such-host.invalid:8125", "kinto")

    def test_the_default_port_is_8125(self) -> None:
        """O-MON-1."""
        arguments = {}

        def make(**where: Any) -> Any:
            arguments.update(where)

        open_metrics("udp://carbon.server", "kinto", make)
        assert arguments == {"host": "carbon.server", "port": 8125, "prefix": "kinto"}


class TestBatcher:
    """Items that are sent in batches."""

    def test_a_full_batch_is_sent_at_once(self) -> None:
        sent: list[int] = []
        batcher: Batcher[int] = Batcher(sent.extend, 3)

        for number in range(3):
            batcher.add(number)

        assert sent == [0, 1, 2]
        batcher.close()

    def test_a_smaller_batch_is_sent_after_the_delay(self) -> None:
        sent: Queue[list[int]] = Queue()
        batcher: Batcher[int] = Batcher(lambda items: sent.put(list(items)), 3)

        for _ in range(2):
            batcher.add(1)
            batcher.add(2)
            assert sent.get(timeout=10) == [1, 2]
        batcher.close()

    @pytest.mark.parametrize("send_all", [flush_all, Batcher.close], ids=["the process ends", "it is closed"])
    def test_a_batch_that_the_thread_is_sending_is_sent_before(self, send_all: Callable[..., None]) -> None:
        """The process does not end, and the socket is not closed, while the thread holds items that left the queue."""
        is_sending, may_go_on, sent = threading.Event(), threading.Event(), list[int]()

        def send(items: Iterator[int]) -> None:
            taken = list(items)
            is_sending.set()
            may_go_on.wait()
            sent.extend(taken)

        batcher: Batcher[int] = Batcher(send, 3)
        batcher.add(1)
        is_sending.wait()
        threading.Timer(0.2, may_go_on.set).start()
        send_all(*([] if send_all is flush_all else [batcher]))

        assert sent == [1]
        batcher.close()


class TestPrometheus:
    """The page (O-MON-16, O-MON-17)."""

    def test_a_timer_is_a_histogram_with_buckets(self) -> None:
        place = _prometheus()

        place.timing("backend.storage.seconds", 0.5, [("method", "get")])

        page = _page(place)
        assert "# HELP kinto_backend_storage_seconds Histogram of kinto_backend_storage_seconds\n" in page
        assert "# TYPE kinto_backend_storage_seconds histogram\n" in page
        assert 'kinto_backend_storage_seconds_bucket{le="0.1",method="get"} 0.0\n' in page
        assert 'kinto_backend_storage_seconds_bucket{le="1.0",method="get"} 1.0\n' in page
        assert 'kinto_backend_storage_seconds_bucket{le="+Inf",method="get"} 1.0\n' in page
        assert 'kinto_backend_storage_seconds_sum{method="get"} 0.5\n' in page

    def test_a_value_is_a_summary(self) -> None:
        place = _prometheus()

        place.observe("request_size", 10)
        place.observe("request_size", 20)

        page = _page(place)
        assert "# TYPE kinto_request_size summary\n" in page
        assert "kinto_request_size_count 2.0\nkinto_request_size_sum 30.0\n" in page

    def test_what_is_counted_once_elsewhere_is_a_label(self) -> None:
        place = _prometheus()

        place.count("users", unique=[("auth", "account"), ("userid", "bob")])

        page = _page(place)
        assert "# HELP kinto_users_total Counter of kinto_users\n# TYPE kinto_users_total counter\n" in page
        assert 'kinto_users_total{auth="account",userid="bob"} 1.0\n' in page

    def test_an_offered_timer_shows_before_it_is_used(self) -> None:
        place = _prometheus()

        place.declare("backend.cache.seconds", [("method", "ttl")])

        assert 'kinto_backend_cache_seconds_count{method="ttl"} 0.0\n' in _page(place)

    @pytest.mark.parametrize("name", ["request_size", "kinto_request_size", "request.size"])
    def test_a_disabled_name_is_not_kept(self, name: str) -> None:
        place = _prometheus(disabled_names=[name])

        place.observe("request.size", 10)

        assert "request_size" not in _page(place)

    @pytest.mark.parametrize(
        ("created", "is_shown"), [(True, True), (False, False)], ids=["by default", "switched off"]
    )
    def test_created_samples_are_as_the_setting_says(self, created: bool, is_shown: bool) -> None:
        place = _prometheus(created=created)

        place.count("users", unique="bob")
        place.timing("seconds", 1)

        assert ("_created" in _page(place)) is is_shown

    def test_a_name_measures_one_thing_only(self) -> None:
        place = _prometheus()
        place.count("things")

        with pytest.raises(RuntimeError, match="'kinto_things' is a Counter, not a Histogram"):
            place.timing("things", 1)

    def test_buckets_must_ascend(self) -> None:
        with pytest.raises(ValueError, match="sorted order"):
            _prometheus(buckets=(2.0, 1.0)).declare("seconds")

    def test_a_single_process_is_warned_of(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            place = _prometheus()

        assert "Prometheus metrics will run in single-process mode only." in caplog.messages
        assert {"python_info", "process_cpu_seconds_total"} <= set(re.findall(r"^\w+", _page(place), re.M))

    def test_two_places_share_nothing(self) -> None:
        mine, other = _prometheus(), _prometheus()

        mine.count("things")

        assert "kinto_things" not in _page(other)

    @pytest.mark.parametrize(
        ("project", "prefix"),
        [("kinto", "kinto_"), ("remote-settings", "remotesettings_"), ("My Project.x_y z", "myprojectxyz_")],
    )
    def test_the_prefix_is_the_bare_name_of_the_project(self, project: str, prefix: str) -> None:
        """O-MON-17."""
        assert metric_prefix(project) == prefix


def _named(names: type[GuideNames] | type[KintoNames], place: Metrics) -> GuideNames | KintoNames:
    return GuideNames(place) if names is GuideNames else KintoNames(place, ("bucket_id", "record_id"), 1000)


BUCKETS = Kind("bucket", "buckets", (), NameGenerator())
DECISION = Decision(
    Operation("GET", Route(BUCKETS, "/buckets", "/buckets", "", "/buckets", True, None, (), (), ())), 0.001
)
RECORD = HttpResponse(
    RequestHead("GET", "/v1/buckets/b/collections/c/records/r", "", None, None),
    "resources.record-object",
    200,
    0.002,
    ANONYMOUS,
    {},
    lambda: {"bucket_id": "b", "record_id": "r"},
    lambda: 10,
)
BOBS = RECORD._replace(identity=Identity("account:bob@x.org", "account"))


class TestNames:
    """What is said of the same, in both families (O-MON-3 to O-MON-13)."""

    @pytest.mark.parametrize("call", list(calls.calls()), ids=lambda call: f"{call.part} {call.guide or call.kinto}")
    def test_a_call_feeds_its_timer_in_each_family(
        self, server: StatsdServer, statsd: StatsD, call: calls.Call
    ) -> None:
        for names in (GuideNames, KintoNames):
            _named(names, statsd)(BackendCalls((call,), 0.001))

        expected = [f"kinto.{call.part}.{call.guide}"] if call.guide else []
        if call.kinto:
            expected.append(f"kinto.backend.{call.part}.seconds.method.{call.kinto}")
        assert server.names() == expected

    def test_a_statement_feeds_a_timer_once(self, server: StatsdServer, statsd: StatsD) -> None:
        _named(GuideNames, statsd)(BackendCalls((calls.REVOKE, calls.REVOKE_OBJECT, calls.REVOKE_PRINCIPAL), 0.001))

        assert server.names() == ["kinto.permission.remove_principal_from_ace"]

    def test_the_guide_names_a_request_by_its_view(self, server: StatsdServer, statsd: StatsD) -> None:
        _named(GuideNames, statsd)(BOBS)

        assert server.lines() == [
            Line("kinto.view.record-record.GET", "2.000000", "ms"),
            Line("kinto.users", "account.bob@x.org", "s"),
            Line("kinto.authn_type.account", "1", "c"),
        ]

    def test_kinto_names_a_request_by_labels(self, server: StatsdServer, statsd: StatsD) -> None:
        _named(KintoNames, statsd)(BOBS)

        labels = "method.get.endpoint.record-object.bucket_id.b.record_id.r"
        assert server.lines() == [
            Line(f"kinto.request_duration_seconds.{labels}", "2.000000", "ms"),
            Line("kinto.request_summary", f"{labels}.status.200", "s"),
            Line("kinto.request_size", "10", "g"),
            Line("kinto.users", "auth.account.userid.bob@x.org", "s"),
            Line("kinto.authentication", "type.account", "s"),
        ]

    def test_kinto_leaves_out_the_ids_of_a_refused_request(self, server: StatsdServer, statsd: StatsD) -> None:
        """O-MON-18."""
        _named(KintoNames, statsd)(RECORD._replace(status=404))

        assert (
            "kinto.request_duration_seconds.method.get.endpoint.record-object.bucket_id..record_id." in server.names()
        )

    def test_nobody_in_particular_is_not_counted(self, server: StatsdServer, statsd: StatsD) -> None:
        for names in (GuideNames, KintoNames):
            _named(names, statsd)(RECORD)

        assert not {"kinto.users", "kinto.authn_type.None", "kinto.authentication"} & set(server.names())

    def test_several_families_are_told_the_same(self, server: StatsdServer, statsd: StatsD) -> None:
        both = observe_with([_named(GuideNames, statsd), _named(KintoNames, statsd)])

        both(BackendCalls((calls.GET,), 0.001))
        both(DECISION)
        both(Authentication("account", 0.001))
        both(CacheLookup(hit=True))
        both(CacheLookup(hit=False))
        both(Notification("listeners.redis", 0.001))

        assert server.names() == [
            "kinto.storage.get",
            "kinto.backend.storage.seconds.method.get",
            "kinto.authentication.permits",
            "kinto.authentication.account.seconds.method.authenticated_userid",
            "kinto.cache_hits",
            "kinto.cache_misses",
            "kinto.listeners.redis",
            "kinto.listeners.redis.seconds",
        ]


def _methods(protocol: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(protocol, inspect.isfunction) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("interface", "timed"),
    [(Storage, TimedStorage), (Transaction, TimedTransaction), (Cache, TimedCache)],
    ids=["storage", "transaction", "cache"],
)
def test_what_is_timed_offers_the_whole_interface(interface: type, timed: type) -> None:
    assert _methods(interface) == _methods(timed)
