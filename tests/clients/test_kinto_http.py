"""The published client of Kinto, kinto-http, works with the service: over a socket, with accounts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
import requests
from kinto_http import Client, KintoBatchException, KintoException
from kinto_http.patch_type import JSONPatch, MergePatch

from tests.support import services

PASSWORD = "tr0ub4dor"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a served instance with accounts for alice and bob."""
    settings = {
        "kinto.storage_url": f"sqlite:///{tmp_path_factory.mktemp('kinto')}/kinto.sqlite",
        "kinto.includes": "kinto.plugins.accounts",
        "kinto.account_create_principals": "system.Everyone",
        "kinto.account_bcrypt_rounds": 4,
        "kinto.bucket_create_principals": "system.Authenticated",
        "kinto.paginate_by": 3,
        "multiauth.policies": "account",
        "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    }
    with services.serve(settings) as url:
        for name in ("alice", "bob"):
            created = requests.put(f"{url}/accounts/{name}", json={"data": {"password": PASSWORD}}, timeout=60)
            assert created.status_code == 201, created.text
        yield url


@pytest.fixture
def alice(url: str) -> Client:
    """Return alice's client, with a bucket and a collection of its own as defaults."""
    client = Client(server_url=url, auth=("alice", PASSWORD), bucket=f"b-{uuid.uuid4()}", collection="tasks")
    client.create_bucket()
    client.create_collection()
    return client


@pytest.fixture
def bob(alice: Client) -> Client:
    """Return bob's client of what is alice's."""
    return alice.clone(auth=("bob", PASSWORD))


def _refused(error: pytest.ExceptionInfo[KintoException], status: int) -> bool:
    return bool(error.value.response.status_code == status)


def test_server_info_tells_who_asks_and_what_is_offered(alice: Client) -> None:
    info = alice.server_info()

    assert info["user"]["id"] == "account:alice"
    assert {"accounts"} <= info["capabilities"].keys()
    assert info["settings"]["batch_max_requests"] == 25


def test_a_record_is_created_read_replaced_patched_and_deleted(alice: Client) -> None:
    created = alice.create_record(id="r", data={"n": 1})
    replaced = alice.update_record(id="r", data={"n": 2, "a": {"b": 1, "c": 2}})
    shallow = alice.patch_record(id="r", data={"x": True})
    merged = alice.patch_record(id="r", changes=MergePatch({"a": {"b": None}}))
    patched = alice.patch_record(id="r", changes=JSONPatch([{"op": "add", "path": "/data/list", "value": [1]}]))
    read = alice.get_record(id="r")
    deleted = alice.delete_record(id="r")

    assert created["data"]["n"] == 1
    assert replaced["data"]["last_modified"] > created["data"]["last_modified"]
    assert shallow["data"]["x"] is True
    assert merged["data"]["a"] == {"c": 2}
    assert read == patched
    assert read["data"] == {"id": "r", "n": 2, "a": {"c": 2}, "x": True, "list": [1]} | {
        "last_modified": patched["data"]["last_modified"]
    }
    assert deleted["deleted"] is True
    with pytest.raises(KintoException) as error:
        alice.get_record(id="r")
    assert _refused(error, 404)


def test_buckets_collections_and_groups_are_created_read_changed_and_deleted(alice: Client) -> None:
    alice.update_bucket(data={"a": 1})
    alice.patch_bucket(data={"b": 2})
    alice.create_collection(id="other", data={"a": 1}, permissions={"read": ["system.Everyone"]})
    alice.update_collection(id="other", data={"a": 2})
    alice.patch_collection(id="other", data={"b": 3})
    alice.create_group(id="friends", data={"members": ["account:bob"]})
    alice.update_group(id="friends", data={"members": ["account:bob", "account:carol"]})
    alice.patch_group(id="friends", data={"a": 1})

    assert alice.get_bucket()["data"].items() >= {"a": 1, "b": 2}.items()
    assert alice.get_collection(id="other")["data"].items() >= {"a": 2, "b": 3}.items()
    assert alice.get_group(id="friends")["data"]["members"] == ["account:bob", "account:carol"]
    assert {one["id"] for one in alice.get_collections()} == {"tasks", "other"}
    assert [one["id"] for one in alice.get_groups()] == ["friends"]
    assert alice.get_bucket()["data"]["id"] in {one["id"] for one in alice.get_buckets()}
    assert alice.delete_collection(id="other")["deleted"]
    assert alice.delete_group(id="friends")["deleted"]
    assert alice.delete_bucket()["deleted"]


def test_what_exists_is_not_created_again(alice: Client) -> None:
    """The client sends `If-None-Match: *`, and reads what is there when it is told to."""
    alice.create_record(id="r", data={"n": 1})

    with pytest.raises(KintoException) as error:
        alice.create_record(id="r", data={"n": 2})

    assert _refused(error, 412)
    assert alice.create_record(id="r", data={"n": 2}, if_not_exists=True)["data"]["n"] == 1
    assert alice.delete_record(id="nothing", if_exists=True) is None


def test_lists_are_filtered_sorted_and_read_page_by_page(alice: Client) -> None:
    for number in range(8):
        alice.create_record(id=f"r{number}", data={"n": number, "odd": number % 2 == 1})

    assert [one["n"] for one in alice.get_records(_sort="n")] == list(range(8))
    assert [one["n"] for one in alice.get_records(odd=True, _sort="-n")] == [7, 5, 3, 1]
    assert [one["n"] for one in alice.get_records(min_n=6, _sort="n")] == [6, 7]
    pages = list(alice.get_paginated_records(_sort="n"))
    assert [[one["n"] for one in page["data"]] for page in pages] == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_changes_are_polled_by_timestamp(alice: Client) -> None:
    alice.create_record(id="old", data={})
    before = alice.get_records_timestamp()
    alice.create_record(id="new", data={})
    alice.delete_record(id="old")

    changed = alice.get_records(_since=before)

    assert [(one["id"], one.get("deleted", False)) for one in changed] == [("old", True), ("new", False)]
    assert alice.get_records_timestamp() == str(changed[0]["last_modified"])


def test_a_stale_write_is_refused(alice: Client) -> None:
    first = alice.create_record(id="r", data={"n": 1})
    alice.update_record(id="r", data={"n": 2})
    stale = first["data"]["last_modified"]

    writes: tuple[Callable[[], object], ...] = (
        lambda: alice.update_record(data=first["data"]),
        lambda: alice.update_record(id="r", data={"n": 3}, if_match=stale),
        lambda: alice.patch_record(id="r", data={"n": 3}, if_match=stale),
        lambda: alice.delete_record(id="r", if_match=stale),
        lambda: alice.delete_records(if_match=stale),
    )
    for write in writes:
        with pytest.raises(KintoException) as error:
            write()
        assert _refused(error, 412)
    assert alice.get_record(id="r")["data"]["n"] == 2


def test_a_batch_creates_all_it_was_given(alice: Client) -> None:
    with alice.batch(bucket=f"batch-{uuid.uuid4()}", collection="c") as batch:
        batch.create_bucket()
        batch.create_collection()
        for number in range(30):
            batch.create_record(id=f"r{number}", data={"n": number})
        batch.patch_record(id="r7", changes=JSONPatch([{"op": "replace", "path": "/data/n", "value": 70}]))

    results = batch.results()
    assert len(results) == 33
    assert results[-1]["data"]["n"] == 70


def test_a_batch_tells_which_of_its_requests_was_refused(alice: Client) -> None:
    alice.create_record(id="r", data={})

    def create_both() -> None:
        with alice.batch() as batch:
            batch.create_record(id="r", data={})
            batch.create_record(id="other", data={"n": 1})

    with pytest.raises(KintoBatchException) as error:
        create_both()

    assert [one.response.status_code for one in error.value.exceptions] == [412]
    assert alice.get_record(id="other")["data"]["n"] == 1


def test_permissions_decide_who_may_do_what(alice: Client, bob: Client) -> None:
    alice.create_group(id="friends", data={"members": ["account:bob"]})
    alice.create_record(id="shared", data={}, permissions={"read": ["account:bob"]})
    alice.create_record(id="hidden", data={})

    assert bob.get_record(id="shared")["data"]["id"] == "shared"
    assert [one["id"] for one in bob.get_records()] == ["shared"]
    forbidden: tuple[Callable[[], object], ...] = (
        lambda: bob.get_record(id="hidden"),
        lambda: bob.patch_record(id="shared", data={"a": 1}),
    )
    for ask in forbidden:
        with pytest.raises(KintoException) as error:
            ask()
        assert _refused(error, 403)
    alice.patch_collection(permissions={"write": [alice.get_endpoint("group", group="friends").removeprefix("/v1")]})
    assert bob.patch_record(id="hidden", data={"a": 1})["data"]["a"] == 1


def test_wrong_credentials_are_not_accepted(alice: Client) -> None:
    with pytest.raises(KintoException) as error:
        alice.clone(auth=("alice", "wrong")).get_bucket()

    assert _refused(error, 401)


def test_all_records_are_deleted_at_once(alice: Client) -> None:
    for number in range(3):
        alice.create_record(id=f"r{number}", data={})

    deleted = alice.delete_records()

    assert {one["id"] for one in deleted} == {"r0", "r1", "r2"}
    assert alice.get_records() == []
