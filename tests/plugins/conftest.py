"""The clients of the tests over HTTP, and the people of tests of accounts."""

import pytest

from tests.api.conftest import ClientMaker, client, client_with
from tests.plugins.people import People, count_hashes, two_people

__all__ = ["ClientMaker", "client", "client_with"]


@pytest.fixture
def people(client_with: ClientMaker) -> People:
    """Return the people of a service with accounts alone; alice and admin have one."""
    return two_people(client_with)


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Count the comparisons with a hash."""
    return count_hashes(monkeypatch)
