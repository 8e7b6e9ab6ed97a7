"""A worker of gunicorn whose threads never wait for a client.

Theory of operation. The main thread owns all sockets, none of which ever blocks. It collects a request
(`IncomingRequest`) and passes it to a thread when its last byte has arrived. The thread writes its response to a
`NonBlockingSocket`, which sends as many bytes as the client accepts at once and buffers the others; the main thread
sends the buffered bytes, then waits for the next request or closes. So a client that is slow or silent, in the head, in
the body or while it receives the response, costs memory and one of `worker_connections`, never a thread. A connection
is in one state at a time:

    waiting (a socket in the poller, a callback, a deadline) -> a thread -> waiting -> ... -> closed

Every byte renews the deadline. After the deadline a client that has begun a request gets 408, any other is
disconnected; when all `worker_connections` are in use, the same happens to the connection that has waited longest.
Bytes of a request that are in the socket by then are read first, so that the request counts as begun.

A connection is closed in two steps (RFC 9112, section 9.6): the server ends its side, then reads and discards the bytes
that the client still sends, for LINGER_SECONDS at most. Closing at once would reset the connection: a response would be
lost, and a client that sends its next request at that moment would not know whether the server has read it.

TLS, HTTP/2 and the PROXY protocol are unchanged: with one of those gunicorn's own worker handles the connections.
"""

from __future__ import annotations

import errno
import importlib
import json
import math
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

from servers.connections import Connection
from servers.incoming import BodyTooLarge, IncomingRequest
from servers.memory import limit_arenas, trim
from servers.writers import Writers

HEAD_SECONDS = 10.0
BODY_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""The longest time in which a client may send no byte of a head or a body, or accept no byte of a response."""

BODY_MAX_BYTES = 75 * 1024 * 1024
LINGER_SECONDS = 30.0
_LINGER_PAUSE_SECONDS = 5.0
_SWEEP_SECONDS = 0.5
_NOTIFY_SECONDS = 0.5
"""How often the arbiter is notified at most."""
_TRIM_SECONDS = 5.0
"""How long after a request free memory is returned to the system, with that of the requests meanwhile."""
_READ_BYTES = 64 * 1024
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)

# The `errno` of each response, as in the errors of the application.
_ERRNO = {HTTPStatus.BAD_REQUEST: 107, HTTPStatus.REQUEST_TIMEOUT: 107, HTTPStatus.REQUEST_ENTITY_TOO_LARGE: 113}


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A worker whose threads get complete requests only, and which stops without losing any request."""

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS
    body_max_bytes = BODY_MAX_BYTES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limit_arenas()
        self.waiting: dict[Connection, None] = {}
        self._next_sweep = 0.0
        self._next_notify = 0.0
        self._next_trim = math.inf
        self._writers: Writers[Connection] = Writers(self.cfg.threads, self.enqueue_req)
        cfg = self.cfg
        self._reads_requests = not cfg.is_ssl and cfg.proxy_protocol == "off" and cfg.http2_cleartext == "off"

    def init_process(self) -> None:
        """Keep the values of all settings as attributes: gunicorn would call a method for each, in each request."""
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def notify(self) -> None:
        """Notify the arbiter that this worker is alive; gunicorn would do so for each event."""
        now = time.monotonic()
        if now >= self._next_notify:
            self._next_notify = now + _NOTIFY_SECONDS
            super().notify()

    def load_wsgi(self) -> None:
        """Load the application. For an invalid setting print one line and exit as gunicorn does after a failed load."""
        try:
            super().load_wsgi()
        except importlib.import_module("app.settings").SettingError as error:
            print(error, file=sys.stderr, flush=True)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001  # gunicorn's signature
        """Start or stop accepting connections. A worker that exits accepts the queued ones first.

        gunicorn would leave these to be reset when the whole server stops. The listening sockets are then closed at
        once, so that later clients are refused instead of waiting; after a HUP the master still has them, for the new
        workers.

        A worker that gets the signal to stop while it starts is enabled, then disabled: close nothing before that.
        """
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        while self.sockets:
            listener = self.sockets.pop()
            listener.setblocking(False)  # noqa: FBT003  # positional only
            connections_before = -1
            while connections_before != self.nr_conns:
                connections_before = self.nr_conns
                self.accept(listener)
            listener.close()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and wait for its first request."""
        if not self._reads_requests:
            super().accept(listener)
            return
        try:
            client, address = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in _TOO_MANY_FILES:
                self._expire_oldest()
            else:
                # accept(2) also returns errors of a single connection, which must not end the worker and all others.
                self.log.warning("Unable to accept a connection: %s", error)
            return
        self.nr_conns += 1
        connection = Connection(self.cfg, client, address, listener.getsockname())
        self._await_request(connection, self.head_seconds)

    def finish_request(self, connection: TConn, future: Any) -> None:
        """Send the rest of a response; the main thread calls this when the thread of the request has finished."""
        if not isinstance(connection, Connection):
            super().finish_request(connection, future)
            return
        if connection.writes:
            self._writers.end()
        self._next_trim = min(self._next_trim, time.monotonic() + _TRIM_SECONDS)
        connection.keep_alive = not future.cancelled() and future.exception() is None and future.result() is True
        self._send(connection)

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002  # gunicorn's signature
        """With *force*, at the end of the graceful timeout, close all waiting connections at once."""
        super().murder_keepalived(force)
        for connection in list(self.waiting) if force else ():
            self._close_at_once(connection)

    def murder_pending(self) -> None:
        """Expire connections whose deadline has passed, and one more if all `worker_connections` are in use."""
        super().murder_pending()
        if self.nr_conns >= self.worker_connections:
            self._expire_oldest()
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + _SWEEP_SECONDS
        for connection in [each for each in self.waiting if each.deadline <= now]:
            connection.expire()
        if now >= self._next_trim:
            self._next_trim = math.inf
            trim()

    def _cap_keepalive(self, deadline: float) -> None:
        """While the worker stops, apply *deadline* to clients that have not begun a request."""
        super()._cap_keepalive(deadline)
        for connection in self.waiting:
            if not connection.incoming.has_begun:
                connection.deadline = min(connection.deadline, deadline)

    def _keepalive_after(self, connection: TConn, keep_alive: bool) -> bool:  # noqa: FBT001  # gunicorn's signature
        """Return whether the connection can be used again; the socket has no unread bytes of a complete request."""
        if isinstance(connection, Connection):
            return keep_alive
        return bool(super()._keepalive_after(connection, keep_alive))

    def _expire_oldest(self) -> None:
        """Expire the connection that has waited longest, without lingering: the next client needs its place."""
        connection = next(iter(self.waiting), None)
        if connection is not None:
            connection.expire()
        if connection in self.waiting:
            self._close_at_once(connection)

    def _await_request(self, connection: Connection, seconds: float, data: bytes = b"") -> None:
        """Wait for a request, of which *data* has arrived already."""
        connection.requests += 1
        connection.incoming = IncomingRequest(self.cfg, connection.client, connection.requests, self.body_max_bytes)
        self._watch(connection, selectors.EVENT_READ, self._receive, seconds, self._disconnect)
        if data:
            self._feed(connection, data)

    def _disconnect(self, connection: Connection) -> None:
        """Close a connection on which no request has begun, unless the first bytes of one have just arrived."""
        self._receive(connection)
        if connection in self.waiting and not connection.incoming.has_begun:
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
        elif connection.incoming.has_begun:
            self._send_error(connection, HTTPStatus.BAD_REQUEST, "The request did not arrive whole.")
        else:
            self._close_at_once(connection)

    def _feed(self, connection: Connection, data: bytes) -> None:
        """Add bytes to a request, and pass it to a thread once it is complete."""
        incoming = connection.incoming
        try:
            is_complete = incoming.feed(data)
        except BodyTooLarge:
            message = f"The body of a request must not be larger than {self.body_max_bytes} bytes."
            self._send_error(connection, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
            return
        except ParseException as error:
            self.handle_error(None, connection.sock, connection.client, error)
            connection.keep_alive = False
            self._send(connection)
            return
        except OSError:
            self.log.exception("Unable to store a body.")
            self._close_at_once(connection)
            return
        if is_complete:
            self._unwatch(connection)
            incoming.request._expected_100_continue = False  # noqa: SLF001  # gunicorn has no public name
            connection.parser = iter((incoming.request,))
            (self._writers.begin if connection.writes else self.enqueue_req)(connection)
            return
        if incoming.request is not None and incoming.request._expected_100_continue:  # noqa: SLF001  # as above
            try:
                connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            except OSError:
                self._close_at_once(connection)
                return
            incoming.request._expected_100_continue = False  # noqa: SLF001  # as above
        connection.deadline = time.monotonic() + (self.body_seconds if incoming.request else self.head_seconds)
        connection.expire = partial(self._time_out, connection)

    def _time_out(self, connection: Connection) -> None:
        self._send_error(connection, HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time.")

    def _send_error(self, connection: Connection, status: HTTPStatus, message: str) -> None:
        """Send an error for a request that no thread gets, in the format of the application's errors."""
        error = {"code": status.value, "errno": _ERRNO[status], "error": status.phrase, "message": message}
        body = json.dumps(error).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.keep_alive = False
        try:
            connection.sock.sendall(head.encode() + body)
        except OSError:
            self._close_at_once(connection)
            return
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        """Send the rest of a response, then wait for the next request or close."""
        try:
            is_complete = connection.sock.flush()
        except OSError:
            self._close_at_once(connection)
            return
        if not is_complete:
            self._watch(connection, selectors.EVENT_WRITE, self._send, ANSWER_SECONDS, self._close_at_once)
        elif connection.keep_alive:
            seconds = self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER
            connection.incoming.close()
            self._await_request(connection, seconds, connection.incoming.remaining)
        else:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        """End our side of a connection and wait until the client ends its own."""
        try:
            connection.sock.client.shutdown(socket.SHUT_WR)
        except OSError:
            self._close_at_once(connection)
            return
        connection.linger_until = time.monotonic() + LINGER_SECONDS
        self._watch(connection, selectors.EVENT_READ, self._linger, _LINGER_PAUSE_SECONDS, self._close_at_once)

    def _linger(self, connection: Connection) -> None:
        """Read and discard bytes from a client that has its response."""
        try:
            data = connection.sock.client.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close_at_once(connection)
            return
        connection.deadline = min(time.monotonic() + _LINGER_PAUSE_SECONDS, connection.linger_until)

    def _watch(
        self,
        connection: Connection,
        event: int,
        ready: Callable[[Connection], None],
        seconds: float,
        expire: Callable[[Connection], None],
    ) -> None:
        """Call *ready* when *event* occurs on the socket, or *expire* after *seconds*."""
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

    def _close_at_once(self, connection: Connection) -> None:
        """Close a connection at once."""
        self._unwatch(connection)
        self.nr_conns -= 1
        connection.close()
