"""The clients of the tests over HTTP: `client` with the usual settings, `client_with(settings)` with others."""

from tests.api.conftest import ClientMaker, client, client_with

__all__ = ["ClientMaker", "client", "client_with"]
