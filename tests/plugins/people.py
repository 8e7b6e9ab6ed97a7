"""The people of tests of accounts: who asks with a name and a password, and a service that knows some of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bcrypt
import pytest

from app.service import Service
from backends.storage import Selection
from tests.api.conftest import ClientMaker
from tests.support.client import Answer, Client, basic

POLICY = "kinto.plugins.accounts.AccountsPolicy"
ACCOUNTS: Mapping[str, Any] = {
    "kinto.includes": "kinto.plugins.accounts",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": POLICY,
    "kinto.account_create_principals": "system.Everyone",
    "kinto.account_write_principals": "account:admin",
    "kinto.account_bcrypt_rounds": 4,
}
ONLY_ACCOUNTS = {**ACCOUNTS, "multiauth.policies": "account"}
BASIC_REALM = 'Basic realm="Realm"'


class User:
    """Somebody who asks with a name and a password of their own, None for nobody."""

    def __init__(self, client: Client, name: str | None, password: str = "pw") -> None:
        self._client = client
        self._sent = {} if name is None else {"Authorization": basic(name, password)}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.as_(None).ask(method, path, body, {**self._sent, **named})


class People:
    """The people of a test: `alice` and `admin` have accounts, `bob` and others may get one."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.service: Service = client.app.extensions["kinto"]
        self.nobody = User(client, None)

    def __call__(self, name: str, password: str = "pw") -> User:
        """Return somebody with a password."""
        return User(self.client, name, password)

    def sign_up(self, name: str, **data: Any) -> Answer:
        """Make an account with the password `pw`."""
        answer = self.nobody.ask("PUT", f"/accounts/{name}", {"data": {"password": "pw", **data}})
        assert answer.status == 201, answer.body
        return answer

    def stored_hash(self, name: str) -> str:
        """Return what is stored as the password of an account."""
        uri = f"/accounts/{name}"
        secret: str = self.service.storage.read(Selection("/accounts", (uri,))).objects[uri].data()["password"]
        return secret

    def user_id(self, name: str, password: str = "pw") -> str | None:
        """Return who the service takes somebody for."""
        hello = self(name, password).ask("GET", "/").json
        return hello["user"]["id"] if "user" in hello else None


def two_people(client_with: ClientMaker) -> People:
    """Return the people of a service with accounts alone; alice and admin have one."""
    made = People(client_with(ONLY_ACCOUNTS))
    made.sign_up("alice", age=42)
    made.sign_up("admin")
    return made


def count_hashes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that grows with each comparison of a password with a hash."""
    compared: list[bytes] = []
    compare = bcrypt.checkpw

    def counted(password: bytes, known: bytes) -> bool:
        right = compare(password, known)  # raises where there is nothing to compare with
        compared.append(password)
        return right

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    return compared
