"""The table of faults: what is broken while a block runs, and mended at its end."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.deploy.sockets import hanging, head
from tests.faults.clients import LISTS
from tests.faults.deployment import NOTHING, Deployment, Needs
from tests.support.holding import hold

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
BOTH: Final = (SQLITE, POSTGRESQL)
_SLOW_CLIENTS: Final = 200
_HOUR: Final = 3600

Break = Callable[[Deployment], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """A fault: its name, the databases on which it is tried, the context manager that lasts as long as it does.

    `breaks_connections` is whether clients may lose their connections. `padding` is added to each object.
    """

    name: str
    databases: tuple[str, ...]
    apply: Break
    needs: Needs = NOTHING
    breaks_connections: bool = False
    padding: str = ""


@contextlib.contextmanager
def _repeat(action: Callable[[], object], every_seconds: float) -> Iterator[None]:
    """Do something at once and again and again until the block ends."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            action()
            ended.wait(every_seconds)

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(run)
        try:
            yield
        finally:
            ended.set()
        running.result()


@contextlib.contextmanager
def _nothing(_: Deployment) -> Iterator[None]:
    yield


def _kill_workers(deployment: Deployment) -> AbstractContextManager[None]:
    """Kill one worker after the other, each as soon as there are two again."""

    def kill() -> None:
        workers = deployment.web.started_workers()
        if len(workers) > 1:
            os.kill(workers[0], signal.SIGKILL)

    return _repeat(kill, 1.0)


@contextlib.contextmanager
def _kill_web(deployment: Deployment) -> Iterator[None]:
    deployment.web.kill()
    yield
    deployment.web.start()


@contextlib.contextmanager
def _reload_web(deployment: Deployment) -> Iterator[None]:
    deployment.web.send_signal(signal.SIGHUP)
    yield


@contextlib.contextmanager
def _stop_postgresql(deployment: Deployment) -> Iterator[None]:
    deployment.postgresql.stop()
    yield
    deployment.postgresql.start()


@contextlib.contextmanager
def _restart_postgresql(deployment: Deployment) -> Iterator[None]:
    deployment.postgresql.stop()
    deployment.postgresql.start()
    yield


@contextlib.contextmanager
def _kill_postgresql(deployment: Deployment) -> Iterator[None]:
    deployment.postgresql.end(signal.SIGKILL)
    yield
    deployment.postgresql.start()


@contextlib.contextmanager
def _freeze_postgresql(deployment: Deployment) -> Iterator[None]:
    """Stop all processes, as a disk that hangs does: connections are accepted and never answered."""
    processes = deployment.postgresql.processes()
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in reversed(processes):
        os.kill(pid, signal.SIGCONT)


def _cut_connections(deployment: Deployment) -> AbstractContextManager[None]:
    ours = "datname = 'kinto' AND pid <> pg_backend_pid()"
    statement = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}"
    return _repeat(lambda: deployment.postgresql.execute(statement), 0.2)


@contextlib.contextmanager
def _configure(deployment: Deployment, **settings: str) -> Iterator[None]:
    deployment.postgresql.configure(**settings)
    yield
    deployment.postgresql.configure(**dict.fromkeys(settings, ""))


@contextlib.contextmanager
def _hold_lock(deployment: Deployment, **settings: str) -> Iterator[None]:
    """Hold the lock of one list; statements that wait for it meet their limit."""
    with _configure(deployment, **settings), hold(deployment.url, LISTS[0]):
        yield


@contextlib.contextmanager
def _fill_disk(deployment: Deployment) -> Iterator[None]:
    """Fill the small disk until not a byte is left."""
    assert deployment.disk is not None
    ballast = deployment.disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size) == size:
                    pass
        yield
    ballast.unlink()


@contextlib.contextmanager
def _fail_over(deployment: Deployment) -> Iterator[None]:
    """Kill the primary and promote the standby, for good."""
    deployment.postgresql.end(signal.SIGKILL)
    deployment.standby.execute("SELECT pg_promote()")
    yield
    deployment.standby.configure(synchronous_standby_names="")


@contextlib.contextmanager
def _fail_over_from_frozen(deployment: Deployment) -> Iterator[None]:
    """Promote the standby while the primary accepts connections and never answers; kill the primary at the end."""
    processes = deployment.postgresql.processes()
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    deployment.standby.execute("SELECT pg_promote()")
    yield
    for pid in processes:
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def _stop_cache(deployment: Deployment) -> Iterator[None]:
    deployment.cache.end(signal.SIGKILL)
    yield
    deployment.cache.start()


@contextlib.contextmanager
def _freeze_cache(deployment: Deployment) -> Iterator[None]:
    """Let the cache accept connections and never answer."""
    deployment.cache.send_signal(signal.SIGSTOP)
    yield
    deployment.cache.send_signal(signal.SIGCONT)


def _flush_cache(deployment: Deployment) -> AbstractContextManager[None]:
    return _repeat(lambda: deployment.run("flush-cache"), 0.2)


@contextlib.contextmanager
def _lose_cache_table(deployment: Deployment) -> Iterator[None]:
    deployment.postgresql.execute("ALTER TABLE cache RENAME TO gone", database="kinto")
    yield
    deployment.postgresql.execute("ALTER TABLE gone RENAME TO cache", database="kinto")


def _step_clock(deployment: Deployment) -> AbstractContextManager[None]:
    """Step the clock of web server and database an hour ahead, an hour back, and so on."""
    offsets = itertools.cycle((_HOUR, 0, -_HOUR, 0))
    return _repeat(lambda: deployment.set_clock(next(offsets)), 0.3)


@contextlib.contextmanager
def _crowd(deployment: Deployment) -> Iterator[None]:
    """Let clients begin requests, and send nothing more."""
    put = head("PUT", "/v1/buckets/half", "Content-Length: 100")
    beginnings = (b"", put[:-2], put, put + b'{"data"', head("GET", LISTS[0])[:-1])
    with hanging(deployment.web.url, *itertools.islice(itertools.cycle(beginnings), _SLOW_CLIENTS)):
        yield


@contextlib.contextmanager
def _lock_file(deployment: Deployment) -> Iterator[None]:
    with hold(deployment.url, ""):
        yield


def in_turn(*names: str, seconds: float) -> Break:
    """Return what applies several faults, one after the other, each for some seconds."""

    @contextlib.contextmanager
    def apply(deployment: Deployment) -> Iterator[None]:
        for fault in (fault for fault in FAULTS if fault.name in names):
            with fault.apply(deployment):
                time.sleep(seconds)
        yield

    return apply


_POOL_OF_ONE: Final = {"kinto.storage_pool_size": 1, "kinto.storage_max_overflow": 0}
_SHORT_REQUESTS: Final = {"kinto.storage_request_timeout": 2}
_SHORT_LOCKS: Final = {"kinto.storage_lock_timeout": 1}
_ACCOUNTS_IN: Final = {name: Needs(cache=name) for name in ("redis", "memcached", POSTGRESQL)}

FAULTS: Final = (
    Fault("none", BOTH, _nothing),
    Fault("a pool of one", BOTH, _nothing, Needs(settings=_POOL_OF_ONE)),
    Fault("workers killed", BOTH, _kill_workers, breaks_connections=True),
    Fault("server killed", BOTH, _kill_web, breaks_connections=True),
    Fault("server reloaded", BOTH, _reload_web),
    Fault("PostgreSQL stopped", (POSTGRESQL,), _stop_postgresql),
    Fault("PostgreSQL restarted", (POSTGRESQL,), _restart_postgresql),
    Fault("PostgreSQL killed", (POSTGRESQL,), _kill_postgresql),
    Fault("PostgreSQL frozen", (POSTGRESQL,), _freeze_postgresql, Needs(settings=_SHORT_REQUESTS)),
    Fault("connections cut", (POSTGRESQL,), _cut_connections),
    Fault("read-only", (POSTGRESQL,), partial(_configure, default_transaction_read_only="on")),
    Fault("statement_timeout", (POSTGRESQL,), partial(_hold_lock, statement_timeout="300ms")),
    Fault("idle_in_transaction", (POSTGRESQL,), partial(_configure, idle_in_transaction_session_timeout="1ms")),
    Fault("failover", (POSTGRESQL,), _fail_over, Needs(standby=True)),
    Fault(
        "failover, primary frozen",
        (POSTGRESQL,),
        _fail_over_from_frozen,
        Needs(standby=True, settings={"kinto.storage_request_timeout": 4}),
    ),
    Fault("file locked", (SQLITE,), _lock_file, Needs(settings=_SHORT_LOCKS)),
    Fault("disk full", BOTH, _fill_disk, Needs(small_disk=True), padding="x" * 3000),
    Fault("clock steps", BOTH, _step_clock, Needs(clock=True)),
    Fault("200 slow clients", BOTH, _crowd),
    *(
        Fault(f"{cache} {word}", BOTH, apply, _ACCOUNTS_IN[cache])
        for cache in ("redis", "memcached")
        for word, apply in (("gone", _stop_cache), ("hanging", _freeze_cache), ("flushed", _flush_cache))
    ),
    Fault("cache table gone", (POSTGRESQL,), _lose_cache_table, _ACCOUNTS_IN[POSTGRESQL]),
)
"""All faults. Batches over the same lists in opposite orders are a part of each load."""
