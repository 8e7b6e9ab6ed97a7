"""Call a provider over HTTP, so that one that is slow or down costs little (plugins contract, 5.2 and 5.5).

- A caller waits `LIMIT_SECONDS` at most, whatever the call waits for: a name server, a connection, a header, the body.
  The call is made by a thread of its own, since the standard library cannot limit all of these.
- Callers that want the same at the same time share one call.
- A provider gets `SLOTS` calls at a time. A further caller waits `SLOT_SECONDS` for its turn and then fails, so that a
  slow provider does not occupy all threads of a server.
- After a call that failed slowly, calls fail at once for some seconds (`Breaker`).
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit

import urllib3

from blueprints.plugins import BackendError, Breaker

LIMIT_SECONDS: Final = 5.0
SLOTS: Final = 4
SLOT_SECONDS: Final = 0.5
MAX_BYTES: Final = 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_HEADERS: Final = {"Accept": "application/json", "User-Agent": "kinto"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The status and the body of a response."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a provider: a GET, or a POST of a *form*. Equal requests at the same time become one call."""

    url: str
    # Secrets: never printed.
    authorization: str = field(default="", repr=False)
    form: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the request."""
        headers = dict(_HEADERS)
        if self.authorization:
            headers["Authorization"] = self.authorization
        if self.form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        return headers


class _NoSlot(Exception):
    """All slots are in use; for the breaker that is no failure of the provider."""


class Calls:
    """The calls to one provider."""

    def __init__(self) -> None:
        self._breaker = Breaker(urllib3.exceptions.HTTPError, OSError)
        self._slots = threading.BoundedSemaphore(SLOTS)
        self._lock = threading.Lock()
        self._running: dict[Hashable, Future[Answer]] = {}
        self._pools: dict[str, urllib3.PoolManager] = {}

    def send(self, request: Request) -> Answer:
        """Return the answer to a request, whatever its status. Raises BackendError."""
        try:
            with self._breaker.call():
                return self._share(request).result(LIMIT_SECONDS)
        except _NoSlot as error:
            raise BackendError(f"{SLOTS} calls to the provider are running", error) from error

    def disconnect(self) -> None:
        """Close all connections: a process that will fork must not share one with its children."""
        for pool in self._pools.values():
            pool.clear()

    def _share(self, request: Request) -> Future[Answer]:
        """Return the running call with this request, or start one. Raises _NoSlot."""
        with self._lock:
            running = self._running.get(request)
        if running is not None:
            return running
        if not self._slots.acquire(timeout=SLOT_SECONDS):
            raise _NoSlot
        call: Future[Answer] = Future()
        with self._lock:
            running = self._running.setdefault(request, call)
        if running is not call:
            self._slots.release()
            return running
        threading.Thread(target=self._run, args=(request, call), name="openid", daemon=True).start()
        return call

    def _run(self, request: Request, call: Future[Answer]) -> None:
        try:
            call.set_result(self._fetch(request))
        except Exception as error:  # noqa: BLE001  # the edge of a thread: the callers raise the error
            call.set_exception(error)
        finally:
            with self._lock:
                del self._running[request]
            self._slots.release()

    def _fetch(self, request: Request) -> Answer:
        deadline = time.monotonic() + LIMIT_SECONDS
        response = self._pool_of(request.url).request(
            "POST" if request.form else "GET",
            request.url,
            body=urlencode(request.form) if request.form else None,
            headers=request.headers(),
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(LIMIT_SECONDS),
        )
        body = b""
        try:
            while chunk := response.read1(_CHUNK_BYTES):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise OSError(f"{request.url} returned more than {MAX_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{request.url} did not answer in {LIMIT_SECONDS} seconds")
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return Answer(response.status, body)

    def _pool_of(self, url: str) -> urllib3.PoolManager:
        """Return the connections to a URL, through the proxy that the environment names, if any."""
        parts = urlsplit(url)
        proxies = {} if urllib.request.proxy_bypass(parts.netloc) else urllib.request.getproxies()
        proxy = proxies.get(parts.scheme, "")
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()
            return self._pools[proxy]
