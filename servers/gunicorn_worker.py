"""A worker of gunicorn whose threads never wait for a client.

Theory of operation. The main thread owns all sockets, none of which ever blocks. It collects a request (`Incoming`) and
gives it to a thread when its last byte is there; the thread answers into `_Socket`, which sends as much as the client
takes at once and keeps the rest; the main thread sends that rest, then waits for the next request or closes. So a
client that is slow or silent, in the head, in the body or while it is answered, costs memory and one of
`worker_connections`, never a thread. A connection is in one place at a time:

    waiting (a socket in the poller, a callback, a deadline) -> a thread -> waiting -> ... -> closed

A deadline is renewed by every byte. Once it has passed, a client that has begun a request is answered 408, any other is
disconnected; the same happens to the connection that has waited longest when all `worker_connections` are taken. A
request whose bytes lie in the socket by then is read first and counts as begun.

A connection is closed in two steps (RFC 9112, section 9.6): the server ends its side, then reads and drops what the
client still sends, for LINGER_SECONDS at most. Closing at once would reset the connection: an answer would be lost, and
a client that sends its next request at that moment would not know whether the server has read it.

Nothing here changes TLS, HTTP/2 and the PROXY protocol: with one of those gunicorn's own worker does all of it.
"""

from __future__ import annotations

import errno
import importlib
import json
import selectors
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from servers.incoming import BodyTooLarge, Incoming
from servers.writers import Writers

HEAD_SECONDS = 10.0
BODY_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""How long a client may send no byte of a head or a body, or take no byte of an answer."""

BODY_MAX_BYTES = 75 * 1024 * 1024
LINGER_SECONDS = 30.0
_LINGER_PAUSE_SECONDS = 5.0
_SWEEP_SECONDS = 0.5
_READ_BYTES = 64 * 1024
_READING = ("GET", "HEAD", "OPTIONS")
_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)

# The `errno` of each answer, as the application numbers its own.
_ERRNO = {HTTPStatus.BAD_REQUEST: 107, HTTPStatus.REQUEST_TIMEOUT: 107, HTTPStatus.REQUEST_ENTITY_TOO_LARGE: 113}


class _Socket:
    """The socket of a client as gunicorn's response writes to it: `sendall` never waits, and keeps what is left."""

    def __init__(self, client: socket.socket) -> None:
        client.setblocking(False)
        self.client = client
        self._unsent = bytearray()

    def fileno(self) -> int:
        return self.client.fileno()

    def sendall(self, data: bytes) -> None:
        sent = 0 if self._unsent else self._send(data)
        self._unsent += memoryview(data)[sent:]

    send = sendall

    def flush(self) -> bool:
        """Send what the client takes of what is left; return whether that was all. Raises OSError."""
        if self._unsent:
            del self._unsent[: self._send(self._unsent)]
        return not self._unsent

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self.client.send(data)
        except BlockingIOError:
            return 0

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, flag: bool) -> None:
        """Stay as it is: nothing here waits."""

    settimeout = setblocking

    def shutdown(self, how: int) -> None:
        """Leave closing to the worker."""

    def recv(self, size: int) -> bytes:
        """Return no more bytes: a request is whole before it is answered."""
        return b""

    def close(self) -> None:
        """Leave closing to the worker."""


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A client: its socket, the request that arrives or is answered, and what happens when it keeps us waiting."""

    incoming: Incoming
    sock: _Socket

    def __init__(self, cfg: Any, client: socket.socket, address: Any, server: Any) -> None:
        super().__init__(cfg, _Socket(client), address, server)
        # gunicorn reads nothing from the socket.
        self.initialized = self.data_ready = True
        self.requests = 0
        self.kept = False
        self.lingering_ends = 0.0
        self.deadline = 0.0
        self.expire: Callable[[], None]

    @property
    def writes(self) -> bool:
        """Return whether the request may change anything."""
        return self.incoming.request.method not in _READING

    def close(self, graceful: bool = False) -> None:
        """Close the socket."""
        self.incoming.close()
        self.sock.client.close()


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A worker with threads for whole requests only; it stops without losing any."""

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS
    body_max_bytes = BODY_MAX_BYTES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, None] = {}
        self._next_sweep = 0.0
        self._writers: Writers[Connection] = Writers(self.cfg.threads, self.enqueue_req)
        cfg = self.cfg
        self._reads_itself = not cfg.is_ssl and cfg.proxy_protocol == "off" and cfg.http2_cleartext == "off"

    def load_wsgi(self) -> None:
        """Load the application; end like any worker that cannot, but without a traceback, where a setting is wrong."""
        try:
            super().load_wsgi()
        except importlib.import_module("app.settings").SettingError as error:
            print(error, file=sys.stderr, flush=True)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take no more connections; a worker that stops first takes those that wait, which nobody else may serve.

        gunicorn leaves them to be reset when a whole server stops. Then the sockets close at once, so that who comes
        later is refused instead of kept waiting; after a HUP the master has them still, for the new workers.

        A worker that is told to stop while it starts enables and disables: nothing may be closed before the latter.
        """
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        while self.sockets:
            listener = self.sockets.pop()
            listener.setblocking(False)
            known = -1
            while known != self.nr_conns:
                known = self.nr_conns
                self.accept(listener)
            listener.close()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and wait for its first request."""
        if not self._reads_itself:
            super().accept(listener)
            return
        try:
            client, address = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in _NO_MORE_FILES:
                self._make_room()
            else:
                # accept(2) returns the errors of one connection too: none of them may end the worker, and all others.
                self.log.warning("A connection cannot be accepted: %s", error)
            return
        self.nr_conns += 1
        connection = Connection(self.cfg, client, address, listener.getsockname())
        self._await_request(connection, self.head_seconds)

    def finish_request(self, connection: TConn, future: Any) -> None:
        """Send the rest of an answer; the main thread calls this when a thread has ended."""
        if not isinstance(connection, Connection):
            super().finish_request(connection, future)
            return
        if connection.writes:
            self._writers.end()
        connection.kept = not future.cancelled() and future.exception() is None and future.result() is True
        self._send(connection)

    def murder_keepalived(self, force: bool = False) -> None:
        """Disconnect everybody where *force* says so: the time to stop is over."""
        super().murder_keepalived(force)
        for connection in list(self.waiting) if force else ():
            self._drop(connection)

    def murder_pending(self) -> None:
        """Disconnect clients whose deadline has passed, and one more where connections run out."""
        super().murder_pending()
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + _SWEEP_SECONDS
        for connection in [each for each in self.waiting if each.deadline <= now]:
            connection.expire()

    def _cap_keepalive(self, deadline: float) -> None:
        """Let a stop wait no longer than that for clients that have begun no request."""
        super()._cap_keepalive(deadline)
        for connection in self.waiting:
            if not connection.incoming.started:
                connection.deadline = min(connection.deadline, deadline)

    def _keepalive_after(self, connection: TConn, kept: bool) -> bool:
        """Return whether the connection can be used again: nothing of a whole request is left on the socket."""
        return kept if isinstance(connection, Connection) else bool(super()._keepalive_after(connection, kept))

    def _make_room(self) -> None:
        """Expire the connection that has waited longest, and do not linger: the next client waits for its place."""
        connection = next(iter(self.waiting), None)
        if connection is not None:
            connection.expire()
        if connection in self.waiting:
            self._drop(connection)

    def _await_request(self, connection: Connection, seconds: float, rest: bytes = b"") -> None:
        """Wait for a request, of which *rest* is there."""
        connection.requests += 1
        connection.incoming = Incoming(self.cfg, connection.client, connection.requests, self.body_max_bytes)
        self._watch(connection, selectors.EVENT_READ, self._receive, seconds, self._disconnect)
        if rest:
            self._feed(connection, rest)

    def _disconnect(self, connection: Connection) -> None:
        """Close a connection on which no request has begun, unless the first bytes of one have just arrived."""
        self._receive(connection)
        if connection in self.waiting and not connection.incoming.started:
            self._close(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.sock.client.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._feed(connection, data)
        elif connection.incoming.started:
            self._refuse(connection, HTTPStatus.BAD_REQUEST, "The request did not arrive whole.")
        else:
            self._drop(connection)

    def _feed(self, connection: Connection, data: bytes) -> None:
        """Add bytes to a request, and give it to a thread once it is whole."""
        incoming = connection.incoming
        try:
            whole = incoming.feed(data)
        except BodyTooLarge:
            message = f"The body of a request must not be larger than {self.body_max_bytes} bytes."
            self._refuse(connection, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
            return
        except ParseException as error:
            self.handle_error(None, connection.sock, connection.client, error)
            connection.kept = False
            self._send(connection)
            return
        except OSError:
            self.log.exception("A body cannot be stored.")
            self._drop(connection)
            return
        if whole:
            self._unwatch(connection)
            incoming.request._expected_100_continue = False
            connection.parser = iter((incoming.request,))
            (self._writers.begin if connection.writes else self.enqueue_req)(connection)
            return
        if incoming.request is not None and incoming.request._expected_100_continue:
            try:
                connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            except OSError:
                self._drop(connection)
                return
            incoming.request._expected_100_continue = False
        connection.deadline = time.monotonic() + (self.body_seconds if incoming.request else self.head_seconds)
        connection.expire = partial(self._time_out, connection)

    def _time_out(self, connection: Connection) -> None:
        self._refuse(connection, HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time.")

    def _refuse(self, connection: Connection, status: HTTPStatus, message: str) -> None:
        """Answer a request that no thread is given, in the words of the application's own errors."""
        error = {"code": status.value, "errno": _ERRNO[status], "error": status.phrase, "message": message}
        body = json.dumps(error).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.kept = False
        try:
            connection.sock.sendall(head.encode() + body)
        except OSError:
            self._drop(connection)
            return
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        """Send what is left of an answer, then wait for the next request or close."""
        try:
            sent = connection.sock.flush()
        except OSError:
            self._drop(connection)
            return
        if not sent:
            self._watch(connection, selectors.EVENT_WRITE, self._send, ANSWER_SECONDS, self._drop)
        elif connection.kept:
            seconds = self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER
            connection.incoming.close()
            self._await_request(connection, seconds, connection.incoming.rest)
        else:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        """End our side of a connection and wait until the client ends its own."""
        try:
            connection.sock.client.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(connection)
            return
        connection.lingering_ends = time.monotonic() + LINGER_SECONDS
        self._watch(connection, selectors.EVENT_READ, self._linger, _LINGER_PAUSE_SECONDS, self._drop)

    def _linger(self, connection: Connection) -> None:
        """Drop what a client sends that has its answer."""
        try:
            data = connection.sock.client.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        connection.deadline = min(time.monotonic() + _LINGER_PAUSE_SECONDS, connection.lingering_ends)

    def _watch(
        self,
        connection: Connection,
        event: int,
        ready: Callable[[Connection], None],
        seconds: float,
        expire: Callable[[Connection], None],
    ) -> None:
        """Call *ready* when the socket is, or *expire* when that takes too long."""
        change = self.poller.modify if connection in self.waiting else self.poller.register
        change(connection.sock, event, partial(self._handle_event, connection, ready))
        connection.deadline = time.monotonic() + seconds
        connection.expire = partial(expire, connection)
        self.waiting[connection] = None

    def _handle_event(self, connection: Connection, ready: Callable[[Connection], None], _: Any) -> None:
        """Call *ready*, unless another event that the same poll returned has closed the connection to make room."""
        if connection in self.waiting:
            ready(connection)

    def _unwatch(self, connection: Connection) -> None:
        if connection in self.waiting:
            del self.waiting[connection]
            self.poller.unregister(connection.sock)

    def _drop(self, connection: Connection) -> None:
        """Close a connection at once."""
        self._unwatch(connection)
        self.nr_conns -= 1
        connection.close()
