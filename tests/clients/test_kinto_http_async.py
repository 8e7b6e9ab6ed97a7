"""The asynchronous client of kinto-http works with the service, also in the default bucket."""

from __future__ import annotations

import asyncio

import pytest
from kinto_http import AsyncClient, KintoException

from tests.clients.conftest import PASSWORD


def test_requests_at_once_fill_a_list_that_is_then_read_and_emptied(served_url: str) -> None:
    async def run() -> None:
        client = AsyncClient(server_url=served_url, auth=("bob", PASSWORD), bucket="default", collection="notes")
        created = await asyncio.gather(*(client.create_record(data={"n": number}) for number in range(10)))
        records = await client.get_records(_sort="n")
        changed = await client.patch_record(id=created[0]["data"]["id"], data={"n": 100})
        since = await client.get_records(_since=str(max(record["last_modified"] for record in records)))
        await client.delete_records()

        assert [record["n"] for record in records] == list(range(10))
        assert [record["id"] for record in since] == [changed["data"]["id"]]
        assert await client.get_records() == []

    asyncio.run(run())


def test_an_error_has_its_status(served_url: str) -> None:
    async def run() -> None:
        client = AsyncClient(server_url=served_url, auth=("bob", PASSWORD), bucket="none")
        with pytest.raises(KintoException) as error:
            await client.get_bucket(id="none")
        assert error.value.response.status_code == 403

    asyncio.run(run())
