"""Call a provider over HTTP, so that one that is slow or down costs little (plugins contract, 5.2 and 5.5).

- A caller waits `LIMIT_SECONDS` at most, whatever the call waits for: a name server, a connection, a header, the body.
  The call is made by a thread of its own, since the standard library cannot limit all of these.
- Callers that want the same at the same time share one call. `SLOTS` callers wait for all calls as long as these take;
  a further caller waits until its call has run for `SHARE_SECONDS`.
- A provider gets `SLOTS` calls at a time. A further caller waits `SLOT_SECONDS` for its turn and then fails, as those
  after it do at once until a call ends. So a slow provider does not occupy all threads of a server.
- After a call that failed slowly, calls fail at once for some seconds (`Breaker`).
"""

from __future__ import annotations

import ssl
import threading
import time
import urllib.request
from collections.abc import Hashable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import cache
from typing import Final
from urllib.parse import urlencode, urlsplit

import urllib3

from blueprints.plugins import BackendError, Breaker

LIMIT_SECONDS: Final = 5.0
SLOTS: Final = 4
SLOT_SECONDS: Final = 0.5
SHARE_SECONDS: Final = 1.0
MAX_BYTES: Final = 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_HEADERS: Final = {"Accept": "application/json", "Connection": "close", "User-Agent": "kinto"}


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


class _Busy(Exception):
    """Enough callers wait for the provider; for the breaker that is no failure of the provider."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A running call; it `started` at that time of the monotonic clock."""

    answer: Future[Answer]
    started: float


class Calls:
    """The calls to one provider."""

    def __init__(self) -> None:
        self._breaker = Breaker(urllib3.exceptions.HTTPError, OSError, ValueError)  # the last for an invalid URL
        self._slots = threading.BoundedSemaphore(SLOTS)
        self._waits = threading.BoundedSemaphore(SLOTS)
        self._lock = threading.Lock()
        self._running: dict[Hashable, _Call] = {}
        self._is_stuck = False

    def send(self, request: Request) -> Answer:
        """Return the answer to a request, whatever its status. Raises BackendError."""
        may_wait = self._waits.acquire(blocking=False)
        try:
            with self._breaker.call():
                call = self._share(request)
                seconds = LIMIT_SECONDS if may_wait else call.started + SHARE_SECONDS - time.monotonic()
                if wait((call.answer,), max(seconds, 0)).done:
                    return call.answer.result()
                if may_wait:
                    raise TimeoutError(f"{request.url} did not answer in {LIMIT_SECONDS} seconds")
                raise _Busy
        except _Busy as error:
            raise BackendError(
                f"{SLOTS} calls to the provider are running, or as many callers wait for one", error
            ) from error
        finally:
            if may_wait:
                self._waits.release()

    def _share(self, request: Request) -> _Call:
        """Return the running call with this request, or start one; without a slot it fails by _Busy."""
        with self._lock:
            running = self._running.get(request)
            if running is not None:
                return running
            call = self._running[request] = _Call(Future(), time.monotonic())
        if self._slots.acquire(timeout=0 if self._is_stuck else SLOT_SECONDS):
            threading.Thread(target=self._run, args=(request, call.answer), name="openid", daemon=True).start()
        else:
            self._is_stuck = True
            self._forget(request)
            call.answer.set_exception(_Busy())
        return call

    def _run(self, request: Request, answer: Future[Answer]) -> None:
        try:
            answer.set_result(_fetch(request))
        except Exception as error:  # noqa: BLE001  # the edge of a thread: the callers raise the error
            answer.set_exception(error)
        finally:
            self._forget(request)
            self._is_stuck = False
            self._slots.release()

    def _forget(self, request: Request) -> None:
        with self._lock:
            del self._running[request]


def _fetch(request: Request) -> Answer:
    """Send a request. Raises HTTPError of urllib3, OSError, ValueError for an invalid URL."""
    deadline, body = time.monotonic() + LIMIT_SECONDS, b""
    with _connect(request.url) as connection:
        response = connection.request(
            "POST" if request.form else "GET",
            request.url,
            body=urlencode(request.form) if request.form else None,
            headers=request.headers(),
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(LIMIT_SECONDS),
        )
        with response:
            while chunk := response.read1(_CHUNK_BYTES):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise OSError(f"{request.url} returned more than {MAX_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{request.url} did not answer in {LIMIT_SECONDS} seconds")
    return Answer(response.status, body)


def _connect(url: str) -> urllib3.PoolManager:
    """Return a new connection to a URL, through the proxy that the environment names, if any.

    A kept connection would fail when the provider has closed it, and be shared by the processes of a server that forks.
    """
    parts = urlsplit(url)
    proxies = {} if urllib.request.proxy_bypass(parts.netloc) else urllib.request.getproxies()
    proxy = proxies.get(parts.scheme)
    return urllib3.ProxyManager(proxy, ssl_context=_tls()) if proxy else urllib3.PoolManager(ssl_context=_tls())


@cache
def _tls() -> ssl.SSLContext:
    """Return the certificates that this system trusts; to load them takes long."""
    return ssl.create_default_context()
