"""The token of a page of DELETE: it deletes one page, once, for the user who got it (C-OBJ-53)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Barrier, Thread
from typing import Any

import pytest

from app.errors import Forbidden
from app.events import Listener
from backends import BackendError
from backends.cache.memory import MemoryCache
from backends.storage import Conflict, Transaction, Uncertain
from tests.api.conftest import ClientMaker
from tests.support.client import Answer, Client

LIST = "/buckets/b/collections/c/records"
USED = (400, "querystring: _token was already used or has expired.")


class FailingCache(MemoryCache):
    """A cache whose server goes away after some calls."""

    calls_left = 2**63

    def _expect_server(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise BackendError("the server is away")

    def get(self, key: str) -> Any:
        self._expect_server()
        return super().get(key)

    def set(self, key: str, value: Any, ttl_seconds: float) -> None:
        self._expect_server()
        super().set(key, value, ttl_seconds)

    def delete(self, key: str) -> Any:
        self._expect_server()
        return super().delete(key)


@pytest.fixture
def cache() -> FailingCache:
    """Give the cache of the service."""
    return FailingCache("", 2**20)


@pytest.fixture
def client(client_with: ClientMaker, cache: FailingCache) -> Client:
    """Return alice's client of a service with five records and that cache; bob may write them too."""
    client = client_with()
    client.app.extensions["kinto"].cache = cache
    client.put("/buckets/b", permissions={"write": [client.as_("bob").id]})
    client.put("/buckets/b/collections/c")
    for object_id in "abcde":
        client.put(f"{LIST}/{object_id}")
    return client


def _next(answer: Answer) -> str:
    return answer.headers["Next-Page"].partition("localhost")[2]


def _left(client: Client) -> str:
    return "".join(sorted(each["id"] for each in client.get(LIST).data))


def _refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["message"]


def _single(client: Client, path: str, **headers: str) -> Answer:
    return client.delete(path, **headers)


def _member(client: Client, path: str, **headers: str) -> Answer:
    """Delete as a member of a batch, and return the member's answer."""
    named = {"-".join(part.capitalize() for part in name.split("_")): value for name, value in headers.items()}
    batch = client.batch({"method": "DELETE", "path": path, "headers": named})
    if batch.status != 200:
        return batch
    member = batch.json["responses"][0]
    answer = Answer(member["status"], member["headers"], b"")
    answer.json = member["body"]
    return answer


Delete = Callable[..., Answer]
both = pytest.mark.parametrize("delete", [_single, _member], ids=["alone", "in a batch"])


@both
@pytest.mark.parametrize("calls", range(4))
def test_a_page_is_deleted_or_answered_503_when_the_cache_goes_away(
    client: Client, cache: FailingCache, delete: Delete, calls: int
) -> None:
    """C-ERR-11: of the first page one call is made, of the next ones three."""
    cache.calls_left = calls
    first = delete(client, f"{LIST}?_limit=2")
    left = _left(client)

    assert (first.status, left) == ((200, "abc") if calls else (503, "abcde"))


@both
@pytest.mark.parametrize("calls", range(4))
def test_a_token_stays_valid_when_the_cache_goes_away_before_the_page_is_deleted(
    client: Client, cache: FailingCache, delete: Delete, calls: int
) -> None:
    following = _next(client.delete(f"{LIST}?_limit=2"))
    cache.calls_left = calls
    failed = delete(client, following)
    cache.calls_left = 100

    assert (failed.status, _left(client)) == ((200, "a") if calls == 3 else (503, "abc"))
    again = delete(client, following)
    assert (_refusal(again) == USED) if calls == 3 else (again.status == 200)
    assert _left(client) == "a"


def _as_stranger(client: Client, path: str) -> Answer:
    return client.as_("eve").delete(path)


def _as_nobody(client: Client, path: str) -> Answer:
    return client.as_(None).delete(path)


def _as_another_writer(client: Client, path: str) -> Answer:
    return client.as_("bob").delete(path)


REFUSED: dict[str, tuple[Callable[[Client, str], Answer], int]] = {
    "by nobody": (_as_nobody, 401),
    "by a stranger": (_as_stranger, 403),
    "by another writer": (_as_another_writer, 400),
    "by a stranger in a batch": (lambda client, path: _member(client.as_("eve"), path), 403),
    "with a stale condition": (lambda client, path: client.delete(path, if_match='"1"'), 412),
    "with a stale condition in a batch": (lambda client, path: _member(client, path, if_match='"1"'), 412),
    "with a client that takes no JSON": (lambda client, path: client.delete(path, accept="image/png"), 406),
    "with a wrong filter": (lambda client, path: client.delete(f"{path}&_since=x"), 400),
    "on another list": (lambda client, path: client.delete(path.replace("/records", "/groups")), 404),
    "by another method": (lambda client, path: client.get(path), 200),
    "by an unknown method": (lambda client, path: client.ask("PUT", path), 405),
}


@pytest.mark.parametrize(("use", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_use_leaves_a_token_to_its_owner(
    client: Client, use: Callable[[Client, str], Answer], status: int
) -> None:
    following = _next(client.delete(f"{LIST}?_limit=2"))

    assert use(client, following).status == status
    assert _left(client) == "abc"
    assert client.delete(following).status == 200
    assert _left(client) == "a"


def test_a_token_deletes_once_in_a_batch(client: Client) -> None:
    following = _next(client.delete(f"{LIST}?_limit=2"))

    one, other = client.batch(*[{"method": "DELETE", "path": following}] * 2).json["responses"]

    assert (one["status"], other["status"], other["body"]["message"]) == (200, *USED)
    assert _left(client) == "a"


def test_a_token_stays_valid_when_its_batch_is_rolled_back(client: Client) -> None:
    following = _next(client.delete(f"{LIST}?_limit=2"))
    refusing = [True]

    def refuse(*_: Any) -> None:
        if refusing:
            refusing.pop()
            raise Forbidden

    client.app.extensions["kinto"].add_listener(Listener(before=refuse))

    assert client.batch({"method": "DELETE", "path": following}).status == 403
    assert _left(client) == "abc"
    assert client.delete(following).status == 200


@contextmanager
def _failing_commit(client: Client, error: BackendError, committed: bool) -> Iterator[None]:
    """Let the next transaction raise *error* in place of its commit, or after it."""
    storage = client.app.extensions["kinto"].storage
    transaction, errors = storage.transaction, [error]

    @contextmanager
    def failing(derived: Any) -> Iterator[Transaction]:
        with transaction(derived) as opened:
            yield opened
            if errors and not committed:
                raise errors.pop()
        if errors:
            raise errors.pop()

    storage.transaction = failing
    yield
    storage.transaction = transaction


def test_a_token_stays_valid_when_the_commit_fails(client: Client) -> None:
    following = _next(client.delete(f"{LIST}?_limit=2"))
    with _failing_commit(client, BackendError("no space left"), committed=False):
        failed = client.delete(following)

    assert (failed.status, _left(client)) == (503, "abc")
    assert (client.delete(following).status, _left(client)) == (200, "a")


def test_a_page_is_deleted_once_when_its_transaction_is_tried_again(client: Client) -> None:
    following = _next(client.delete(f"{LIST}?_limit=2"))
    with _failing_commit(client, Conflict("deadlock"), committed=False):
        answer = client.delete(following)

    assert (answer.status, _left(client)) == (200, "a")
    assert _refusal(client.delete(following)) == USED


def test_a_token_is_used_up_when_the_outcome_of_the_commit_is_unknown(client: Client) -> None:
    """Otherwise another try might delete the page after."""
    following = _next(client.delete(f"{LIST}?_limit=2"))
    with _failing_commit(client, Uncertain("the connection died"), committed=True):
        failed = client.delete(following)

    assert (failed.status, _left(client)) == (503, "a")
    assert _refusal(client.delete(following)) == USED
    assert _left(client) == "a"


def test_a_failed_commit_is_reported_when_the_token_cannot_be_put_back(
    client: Client, cache: FailingCache, caplog: pytest.LogCaptureFixture
) -> None:
    following = _next(client.delete(f"{LIST}?_limit=2"))
    cache.calls_left = 3
    with _failing_commit(client, BackendError("no space left"), committed=False):
        failed = client.delete(following)

    assert (failed.status, _left(client)) == (503, "abc")
    assert "Unable to restore a page token" in caplog.text


def test_one_of_two_uses_at_once_deletes(client: Client) -> None:
    following = _next(client.delete(f"{LIST}?_limit=1"))
    answers: list[Answer] = []
    barrier = Barrier(4)

    def delete() -> None:
        barrier.wait()
        answers.append(client.delete(following))

    threads = [Thread(target=delete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer.status for answer in answers) == [200, 400, 400, 400]
    assert _left(client) == "abc"
