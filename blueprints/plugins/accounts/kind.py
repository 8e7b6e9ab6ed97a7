"""The kind `account`: what names look like, and what differs from other objects (plugins contract, 4.3 and 4.5)."""

from __future__ import annotations

import re
import secrets
from typing import Final

from app.authentication.logins import Logins, caller
from app.authentication.passwords import Plain, acceptable, hashed
from app.errors import ApiError, Invalid, Problem
from app.identity import Identity
from app.kinds import Data, Kind, KindHooks
from app.parsing.ids import MAX_ID_CHARACTERS
from app.slow_results import SlowResults
from backends import Json
from backends.storage import User

KIND: Final = "account"
LIST: Final = "/accounts"
PREFIX: Final = f"{KIND}:"
PASSWORD: Final = "password"
NAME_PATTERN: Final = r"^[a-zA-Z0-9][+.@a-zA-Z0-9_-]*$"


class AccountNames:
    """What names of accounts look like, so that addresses of e-mail are names too (P-ACC-10)."""

    regexp = NAME_PATTERN
    _pattern: Final = re.compile(NAME_PATTERN)

    def match(self, id: Json) -> bool:
        """Say whether *id* is a name, in full: a line break at its end is refused (PD-6)."""
        return isinstance(id, str) and len(id) <= MAX_ID_CHARACTERS and bool(self._pattern.fullmatch(id))

    def __call__(self) -> str:
        """Make a name that nobody has."""
        return secrets.token_hex(8)


def account_kind(logins: Logins, rounds: int) -> Kind:
    """Make the kind: lists at the top, the hash of the password never shown."""
    behaviour = AccountHooks(logins, rounds)
    return Kind(KIND, "accounts", ("read", "write"), AccountNames(), private=(PASSWORD,), hooks=behaviour)


def user_of(name: str) -> User:
    """Return where the account of a name is, and what in it a login depends on."""
    return User(f"{LIST}/{name}", PASSWORD)


def name_of(identity: Identity) -> str | None:
    """Return the name of the account behind an identity, None for all others."""
    user_id = identity.user_id or ""
    return user_id.removeprefix(PREFIX) if user_id.startswith(PREFIX) else None


class Kept(str):
    """What a patch sees in the place of the hash: it must neither read it nor copy it to where it shows."""

    __slots__ = ()


_KEPT: Final = Kept("***")


class AccountHooks(KindHooks):
    """What differs for accounts: passwords are hashed, and everybody deals with the own account only."""

    def __init__(self, logins: Logins, rounds: int) -> None:
        self._logins = logins
        self._rounds = rounds

    def prepare_attributes(
        self, kind: str, data: Data | None, old: Data | None, prefix: str
    ) -> tuple[Data, list[Problem]]:
        """Check the password; a touch keeps the hash that is there (P-ACC-14)."""
        if data is None and old is not None:
            return dict(old), []
        given = data or {}
        password = given.get(PASSWORD)
        if isinstance(password, Kept):
            return {**given, PASSWORD: (old or {}).get(PASSWORD)}, []
        if not acceptable(password):
            return given, [password_problem(password, f"{prefix}{PASSWORD}")]
        return {**given, PASSWORD: Plain(password)}, []

    def stored_attributes(self, uri: str, attributes: Data, slow_results: SlowResults) -> Data:
        """Hash a new password: for admitted operations alone, once for each account and password of a request."""
        password = attributes.get(PASSWORD)
        if not isinstance(password, Plain):
            return attributes
        hash = slow_results.get((uri, str(password)), lambda: self._hashed(uri, password))
        return {**attributes, PASSWORD: hash}

    def _hashed(self, uri: str, password: str) -> str:
        """Hash a password, and let the request that made the hash know that it fits."""
        hash = hashed(password, self._rounds)
        caller().made[hash] = self._logins.login(uri.rpartition("/")[2], password).value
        return hash

    def mask_secrets(self, data: Data) -> Data:
        """Hide the hash from a patch."""
        return {**data, PASSWORD: _KEPT}

    def writer(self, identity: Identity, object_id: str) -> str:
        """Return the account itself: it belongs to its user, whoever made it (P-ACC-9, P-ACC-21)."""
        return f"{PREFIX}{object_id}"

    def write_error(self, identity: Identity, object_id: str | None, *, may_write_all: bool) -> ApiError | None:
        """Refuse a new account without a name, and all but administrators on the accounts of others (P-ACC-16)."""
        if object_id is None:
            return Invalid(Problem("body", "data.id", "data.id in body: Required"))
        if identity.user_id is None or may_write_all or object_id == name_of(identity):
            return None
        return Invalid(Problem("body", "data.id", "Username and account ID do not match."))

    def own_object_id(self, identity: Identity) -> str:
        """Return the own name; for those without an account a text that no account is called (P-ACC-23)."""
        return name_of(identity) or ""


def password_problem(password: Json, name: str) -> Problem:
    """Return what is wrong with a password that is not acceptable."""
    if not password:
        return Problem("body", name, "Required")
    if not isinstance(password, str):
        return Problem("body", name, f"{password} is not a string: {{'password': ''}}")
    return Problem("body", name, "Longer than 72 bytes")
