"""The worker of gunicorn, event by event: what it closes, and what it must not lose or end by."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import platform
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from servers.connections import Connection, NonBlockingSocket
from servers.gunicorn_worker import Worker
from tests.deploy.sockets import head, read_all, status

REQUEST = head("GET", "/")
LAST_REQUEST = head("GET", "/", "Connection: close")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECTING = head("PUT", "/", "Content-Length: 100", "Expect: 100-continue")


WsgiApplication = Callable[[Any, Callable[..., Any]], Sequence[bytes]]


def _application(_: Any, start_response: Callable[..., Any]) -> Sequence[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"{}"]


class _Worker(Worker):
    """A worker in this process: nobody forked it, no signal reaches it."""

    answered = 0

    def __init__(self, listener: socket.socket, threads: int = 1) -> None:
        cfg = Config()
        cfg.set("threads", threads)
        super().__init__(1, os.getppid(), [listener], None, 30, cfg, Logger(cfg))
        self.wsgi: WsgiApplication = _application
        self.tpool = self.get_thread_pool()
        self.poller = selectors.DefaultSelector()
        self.method_queue.init()
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)

    def is_parent_alive(self) -> bool:
        return True

    def finish_request(self, connection: Any, future: Any) -> None:
        super().finish_request(connection, future)
        self.answered += 1

    def only(self) -> Connection:
        """Return the one connection that waits."""
        [connection] = self.waiting
        return connection

    def work_until(self, done: Callable[[], bool]) -> None:
        """Handle events until *done* holds."""
        while not done():
            self.wait_for_and_dispatch_events(timeout=5)

    def expire(self) -> None:
        """Let the time of every connection be over, without handling any other event before."""
        for connection in self.waiting:
            connection.deadline = 0
        self._next_sweep = 0
        self.murder_pending()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Give a socket that listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def worker(listener: socket.socket) -> Iterator[_Worker]:
    """Give a worker that no event reaches but those that a test lets it handle."""
    made = _Worker(listener)
    yield made
    made.murder_keepalived(force=True)
    made.tpool.shutdown()
    made.tmp.close()


@pytest.fixture
def client(listener: socket.socket) -> Iterator[socket.socket]:
    """Give a client of it."""
    with socket.create_connection(listener.getsockname(), timeout=30) as connected:
        yield connected


def keep(worker: _Worker, listener: socket.socket, client: socket.socket) -> None:
    """Let the client have an answer, and the worker keep its connection."""
    client.sendall(REQUEST)
    worker.accept(listener)
    worker.work_until(lambda: bool(worker.waiting) and worker.only().requests == 2)
    assert status(client.recv(65536)) == 200


@pytest.fixture(params=["new", "kept"])
def connection(
    request: pytest.FixtureRequest, worker: _Worker, listener: socket.socket, client: socket.socket
) -> Connection:
    """Give a connection on which no request has begun."""
    if request.param == "new":
        worker.accept(listener)
    else:
        keep(worker, listener, client)
    return worker.only()


@pytest.mark.parametrize("number", [1, 20])
def test_a_worker_that_is_told_to_stop_while_it_starts_answers_those_that_wait(
    worker: _Worker, listener: socket.socket, number: int
) -> None:
    worker.poller.unregister(worker.method_queue.fileno())
    worker.alive = False
    with contextlib.ExitStack() as stack:
        second = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        worker.sockets.append(second)
        addresses = [each.getsockname() for each in (listener, second) for _ in range(number)]
        clients = [stack.enter_context(socket.create_connection(address, timeout=30)) for address in addresses]
        for each in clients:
            each.sendall(LAST_REQUEST)
            each.shutdown(socket.SHUT_WR)

        worker.run()

        assert [status(read_all(each)) for each in clients] == [200] * len(clients)


def test_a_file_is_sent_as_a_whole(
    worker: _Worker, listener: socket.socket, client: socket.socket, tmp_path: Path
) -> None:
    """gunicorn calls `sendfile` of the socket: with more bytes than a client accepts at once."""
    content = os.urandom(5_000_000)
    (tmp_path / "file").write_bytes(content)

    def application(environ: Any, start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("Content-Length", str(len(content)))])
        return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))

    def receive() -> bytes:
        answer = read_all(client)
        client.shutdown(socket.SHUT_WR)
        return answer

    worker.wsgi = application
    client.sendall(LAST_REQUEST)
    worker.accept(listener)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(receive)
        worker.work_until(lambda: worker.nr_conns == 0)

    assert answer.result().partition(b"\r\n\r\n")[2] == content


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_threads_are_kept_for_requests_that_do_not_write(listener: socket.socket, threads: int) -> None:
    """Those that write wait in line without a thread, and each of them is answered in the end."""
    worker, release = _Worker(listener, threads), threading.Event()

    def application(environ: Any, start_response: Callable[..., Any]) -> Sequence[bytes]:
        if environ["REQUEST_METHOD"] != "GET":
            release.wait()
        return _application(environ, start_response)

    worker.wsgi = application
    methods = [*("PUT", "POST", "PATCH", "DELETE") * 3, "GET"]
    with contextlib.ExitStack() as stack:
        stack.callback(release.set)
        clients = [stack.enter_context(socket.create_connection(listener.getsockname(), timeout=30)) for _ in methods]
        for client, method in zip(clients, methods, strict=True):
            client.sendall(head(method, "/", "Connection: close"))
            worker.accept(listener)
        if threads > 1:
            worker.work_until(lambda: worker.answered == 1)
            assert status(clients[-1].recv(65536)) == 200
        release.set()
        worker.work_until(lambda: worker.answered == len(methods))
        for client in clients:
            client.shutdown(socket.SHUT_WR)
        answers = [status(read_all(client)) for client in clients[:-1]]
    worker.murder_keepalived(force=True)
    worker.tpool.shutdown()
    worker.tmp.close()

    assert answers == [200] * 12


def test_a_worker_that_is_told_to_stop_while_it_is_full_disables_twice(
    worker: _Worker, listener: socket.socket, client: socket.socket
) -> None:
    worker.set_accept_enabled(True)
    worker.alive = False

    worker.set_accept_enabled(False)
    worker.set_accept_enabled(False)

    assert (worker.nr_conns, listener.fileno()) == (1, -1)
    client.sendall(LAST_REQUEST)
    worker.work_until(lambda: worker.only().linger_until > 0 if worker.waiting else False)
    assert status(read_all(client)) == 200


def test_a_request_that_arrives_as_its_connection_expires_is_answered(
    worker: _Worker, connection: Connection, client: socket.socket
) -> None:
    client.sendall(LAST_REQUEST)

    worker.expire()

    worker.work_until(lambda: connection.linger_until > 0)
    assert status(read_all(client)) == 200


def test_half_a_request_that_arrives_as_its_connection_expires_has_the_time_of_a_request(
    worker: _Worker, connection: Connection, client: socket.socket
) -> None:
    client.sendall(LAST_REQUEST[:20])
    worker.expire()
    client.sendall(LAST_REQUEST[20:])

    worker.work_until(lambda: connection.linger_until > 0)
    assert status(read_all(client)) == 200


@pytest.mark.parametrize("stopping", [False, True])
@pytest.mark.usefixtures("connection")
def test_an_idle_connection_that_expires_is_ended_and_not_reset(
    worker: _Worker, client: socket.socket, stopping: bool
) -> None:
    """A client that sends a request at the same moment reads the end, and may send it elsewhere."""
    worker.alive = not stopping

    worker.expire()
    client.sendall(REQUEST)
    worker.wait_for_and_dispatch_events(timeout=5)

    assert client.recv(1) == b""
    client.shutdown(socket.SHUT_WR)
    worker.work_until(lambda: not worker.waiting)
    assert worker.nr_conns == 0


def test_a_client_that_is_gone_before_100_continue_does_not_end_the_worker(
    worker: _Worker, listener: socket.socket, client: socket.socket
) -> None:
    worker.accept(listener)
    # Closing resets the connection.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()

    worker._feed(worker.only(), EXPECTING)

    assert (worker.waiting, worker.nr_conns) == ({}, 0)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries return memory by themselves")
def test_the_memory_of_long_responses_is_returned_to_the_system(
    worker: _Worker, listener: socket.socket, client: socket.socket
) -> None:
    kept = []

    def application(environ: Any, start_response: Callable[..., Any]) -> Sequence[bytes]:
        blocks = [b"x" * 60_000 + bytes([number % 256]) for number in range(2_000)]
        # Free memory below a block that is used.
        kept.extend(blocks[::50])
        return _application(environ, start_response)

    worker.wsgi = application
    keep(worker, listener, client)
    before = _resident_bytes()

    worker._next_trim = worker._next_sweep = 0
    worker.murder_pending()

    assert before - _resident_bytes() > 50_000_000
    assert worker._next_trim == math.inf, "nothing to do until the next request"


def test_a_client_that_keeps_up_with_a_long_response_leaves_few_bytes_in_memory() -> None:
    """Although it was late once: the first part is longer than the socket takes."""
    mine, other = socket.socketpair()
    with mine, other:
        connection, received = NonBlockingSocket(mine), bytearray()
        other.setblocking(False)
        parts = [b"x" * 1_000_000, *(bytes([number]) * 100_000 for number in range(50))]
        for part in parts:
            connection.sendall(part)
            with contextlib.suppress(BlockingIOError):
                while True:
                    received += other.recv(1_000_000)

            assert len(connection._unsent) < 2_000_000
        while not connection.flush():
            received += other.recv(1_000_000)
        mine.shutdown(socket.SHUT_WR)
        other.setblocking(True)
        received += read_all(other)

        assert received == b"".join(parts)


class _Failing:
    """A listener whose next connection cannot be accepted."""

    def __init__(self, number: int) -> None:
        self.number = number

    def accept(self) -> None:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    "number",
    [
        errno.EAGAIN, errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EPERM, errno.ENOBUFS,
        errno.ENOMEM, errno.EMFILE, errno.ENFILE,
    ],
    ids=errno.errorcode.get,
)  # fmt: skip
def test_a_connection_that_cannot_be_accepted_does_not_end_the_worker(worker: _Worker, number: int) -> None:
    worker.accept(_Failing(number))  # type: ignore[arg-type]

    assert worker.nr_conns == 0


def test_a_connection_that_made_room_is_not_closed_twice(
    worker: _Worker, listener: socket.socket, client: socket.socket
) -> None:
    """Its own event may stand behind that of the listener in one answer of the poller."""
    worker.accept(listener)
    client.sendall(REQUEST[:20])
    events = worker.poller.select(5)
    worker.accept(_Failing(errno.EMFILE))  # type: ignore[arg-type]

    for key, _ in events:
        key.data(key.fileobj)

    assert (worker.waiting, worker.nr_conns) == ({}, 0)


@pytest.mark.usefixtures("client")
def test_the_time_of_a_client_is_that_of_what_it_sends_and_begins_again_with_each_byte(
    worker: _Worker, listener: socket.socket
) -> None:
    worker.head_seconds, worker.body_seconds = 1_000, 100_000
    worker.accept(listener)
    connection = worker.only()
    left = []
    for sent in (b"P", EXPECTING[1:-1], EXPECTING[-1:], b"1", b"2"):
        left.append(connection.deadline - time.monotonic())
        connection.deadline = 0
        worker._feed(connection, sent)

    assert [round(math.log10(seconds)) for seconds in left] == [3, 3, 3, 5, 5]


@pytest.mark.parametrize(
    ("sent", "answer"), [(b"", None), (REQUEST[:20], 408), (EXPECTING, 408)], ids=["nothing", "a head", "a body"]
)
def test_a_client_whose_time_is_over_is_told_where_it_has_begun(
    worker: _Worker, listener: socket.socket, client: socket.socket, sent: bytes, answer: int | None
) -> None:
    worker.accept(listener)
    if sent:
        worker._feed(worker.only(), sent)

    worker.expire()

    assert status(read_all(client).removeprefix(CONTINUE)) == answer


@pytest.mark.parametrize("sent", [b"", REQUEST[:20], EXPECTING], ids=["nothing", "a head", "a body"])
def test_the_connection_that_has_waited_longest_makes_room_where_all_are_taken(
    worker: _Worker, listener: socket.socket, sent: bytes
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(socket.create_connection(listener.getsockname(), timeout=30))
            worker.accept(listener)
        connections = list(worker.waiting)
        for each in connections:
            if sent:
                worker._feed(each, sent)

        worker.worker_connections = 5
        worker.murder_pending()
        assert list(worker.waiting) == connections

        worker.worker_connections = 4
        worker.murder_pending()
        assert (list(worker.waiting), worker.nr_conns) == (connections[1:], 3)

        worker.accept(_Failing(errno.EMFILE))  # type: ignore[arg-type]
        assert (list(worker.waiting), worker.nr_conns) == (connections[2:], 2)
