"""Providers that are slow or down: bounded waits, few threads, then anonymous users (plugins contract, 5.2)."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from itertools import count
from typing import Any

import pytest

from blueprints.plugins.openid import calls
from tests.plugins.logins import Browser, MakeService, login_path, policy, trusted_provider, user_of
from tests.support.client import Client
from tests.support.openid_provider import Provider

MANY = 12
WAIT_SECONDS = 30.0
SHORT_SECONDS = 0.7
"""Less than in production, and long enough for a slow failure. Calls that are answered have more time."""


def ask_at_once(ask: Callable[[int], object]) -> list[object]:
    """Ask from many threads at the same time."""
    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(ask, range(MANY), timeout=WAIT_SECONDS))


def threads() -> int:
    """Return the number of running calls."""
    return sum(thread.name == "openid" for thread in threading.enumerate())


def let_rest_pass(client: Client) -> None:
    """Let the time pass in which no call is made after a slow failure."""
    trusted_provider(client)._calls._breaker._next_try = 0.0


def test_a_slow_provider_does_not_occupy_all_threads(
    provider: Provider, make_service: MakeService, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-OID-6: a few calls wait, once; then nobody does, until one call is tried again."""
    client = make_service(policy(provider))
    tokens = [provider.issue() for _ in range(MANY)]
    provider.gate.clear()
    monkeypatch.setattr(calls, "LIMIT_SECONDS", SHORT_SECONDS)

    assert ask_at_once(lambda number: user_of(client, tokens[number])) == [None] * MANY

    assert provider.paths.count("userinfo") <= calls.SLOTS
    assert threads() <= calls.SLOTS
    assert "Unable to verify a token with the provider google" in caplog.text
    calls_before = len(provider.requests)
    assert user_of(client, tokens[0]) is None
    assert client.get("/buckets/b", authorization=f"Bearer {tokens[0]}").status == 401
    assert client.get(login_path()).status == 307  # needs no call
    assert len(provider.requests) == calls_before

    provider.gate.set()
    monkeypatch.setattr(calls, "LIMIT_SECONDS", WAIT_SECONDS)
    let_rest_pass(client)
    assert user_of(client, tokens[0]) == "google:alice"


def test_threads_with_the_same_token_share_a_call(
    provider: Provider, make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-OID-5: and a slot, so that none of them is sent away."""
    monkeypatch.setattr(calls, "LIMIT_SECONDS", WAIT_SECONDS)
    monkeypatch.setattr(calls, "SLOT_SECONDS", 0)
    monkeypatch.setattr(calls, "SHARE_SECONDS", WAIT_SECONDS)
    client, token = make_service(policy(provider)), provider.issue()
    provider.gate.clear()
    waiting = count(1)

    def wait_for_all(*arguments: Any) -> Any:
        if next(waiting) == MANY:
            provider.gate.set()
        return wait(*arguments)

    monkeypatch.setattr(calls, "wait", wait_for_all)

    assert ask_at_once(lambda _: user_of(client, token)) == ["google:alice"] * MANY

    assert provider.paths.count("userinfo") == 1


def test_few_threads_wait_for_a_shared_call(
    provider: Provider, make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-OID-6: many requests with one token do not occupy all threads of a server."""
    monkeypatch.setattr(calls, "LIMIT_SECONDS", WAIT_SECONDS)
    monkeypatch.setattr(calls, "SHARE_SECONDS", 0.1)
    client, token = make_service(policy(provider)), provider.issue()
    provider.gate.clear()

    with ThreadPoolExecutor(MANY) as pool:
        users = as_completed([pool.submit(user_of, client, token) for _ in range(MANY)], timeout=WAIT_SECONDS)
        without_an_answer = [next(users).result() for _ in range(MANY - calls.SLOTS)]
        provider.gate.set()
        with_one = [user.result() for user in users]

    assert without_an_answer == [None] * (MANY - calls.SLOTS)
    assert with_one == ["google:alice"] * calls.SLOTS
    assert provider.paths.count("userinfo") == 1


def test_a_remembered_token_needs_no_provider(provider: Provider, make_service: MakeService) -> None:
    """P-OID-5."""
    client, token = make_service(policy(provider)), provider.issue()
    assert user_of(client, token) == "google:alice"

    provider.stop()

    assert user_of(client, token) == "google:alice"
    assert user_of(client, "another") is None


@pytest.mark.parametrize(
    "sent", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n", b""], ids=["head", "body", "-"]
)
def test_a_provider_that_answers_byte_by_byte_is_not_waited_for(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """P-OID-3, P-OID-6: each byte comes in time, the whole never does."""
    monkeypatch.setattr(calls, "LIMIT_SECONDS", SHORT_SECONDS)
    with dripping(sent) as url:
        settings = {"multiauth.policy.google.issuer": url, "multiauth.policy.google.client_id": "x"}
        client = make_service({**settings, "multiauth.policy.google.use": "kinto.plugins.openid.OpenIDConnectPolicy"})

        assert user_of(client, "token") is None
        assert client.get(login_path()).status == 503


@contextlib.contextmanager
def dripping(head: bytes) -> Iterator[str]:
    """Run a server that sends a byte from time to time; give its URL."""
    listener, done = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(head)
            while not done.wait(0.05):
                connection.sendall(b"x" if head else b"")

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        done.set()
        listener.close()


@pytest.mark.parametrize("url", ["http://[", "https://x y/", "http://x:99999/", f"http://{'a' * 64}.org/"])
def test_an_invalid_url_counts_as_a_provider_that_is_down(
    provider: Provider, make_service: MakeService, url: str
) -> None:
    """P-OID-3, P-OID-6, P-OID-16: as an endpoint."""
    endpoints = {"userinfo_endpoint": url, "token_endpoint": url}
    provider.answers["/.well-known/openid-configuration"] = {**provider.describe(), **endpoints}
    client = make_service(policy(provider))
    browser = Browser(client)

    assert user_of(client, provider.issue()) is None
    assert browser.log_in().status == 503


def test_calls_go_through_the_proxy_of_the_environment(
    provider: Provider, make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of Kinto do."""
    monkeypatch.setenv("http_proxy", provider.url)
    monkeypatch.setenv("no_proxy", "")
    settings = {"multiauth.policy.google.issuer": "http://idp.invalid", "multiauth.policy.google.client_id": "x"}

    client = make_service({**settings, "multiauth.policy.google.use": "kinto.plugins.openid.OpenIDConnectPolicy"})

    (description,) = client.get("/").json["capabilities"]["openid"]["providers"]
    assert description["issuer"] == provider.url
