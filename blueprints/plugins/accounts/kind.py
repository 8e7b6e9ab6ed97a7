"""Define the kind `account`: its names, and its hooks (plugins contract, 4.3 and 4.5)."""

from __future__ import annotations

import re
import secrets
from typing import Final

from app.authentication.logins import Logins, current_caller
from app.authentication.passwords import PlainPassword, hash_password, is_acceptable
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
    """The id generator of accounts, whose ids are names; e-mail addresses are valid names (P-ACC-10)."""

    regexp = NAME_PATTERN
    _pattern: Final = re.compile(NAME_PATTERN)

    def match(self, object_id: Json) -> bool:
        """Return whether all of *object_id* is a name: a line break at its end is refused (PD-6)."""
        if not isinstance(object_id, str) or len(object_id) > MAX_ID_CHARACTERS:
            return False
        return bool(self._pattern.fullmatch(object_id))

    def __call__(self) -> str:
        """Generate a random name."""
        return secrets.token_hex(8)


def account_kind(logins: Logins, rounds: int) -> Kind:
    """Make the kind: its list is at the top, the hash of the password is private. *rounds* is the cost of bcrypt."""
    hooks = AccountHooks(logins, rounds)
    return Kind(KIND, "accounts", ("read", "write"), AccountNames(), private=(PASSWORD,), hooks=hooks)


def user_of(name: str) -> User:
    """Return the URI of the account with a name, and the attribute on which its logins depend."""
    return User(f"{LIST}/{name}", PASSWORD)


def name_of(identity: Identity) -> str | None:
    """Return the account name of an identity, None if it is not that of an account."""
    user_id = identity.user_id or ""
    return user_id.removeprefix(PREFIX) if user_id.startswith(PREFIX) else None


class MaskedHash(str):
    """The value that a patch sees instead of the hash, so that it can neither read nor copy the hash."""

    __slots__ = ()


_MASKED_HASH: Final = MaskedHash("***")


class AccountHooks(KindHooks):
    """The hooks of accounts: passwords are hashed, and users other than administrators see their own account only."""

    def __init__(self, logins: Logins, rounds: int) -> None:
        self._logins = logins
        self._rounds = rounds

    def prepare_attributes(
        self,
        kind: str,  # noqa: ARG002  # a hook
        data: Data | None,
        old: Data | None,
        prefix: str,
    ) -> tuple[Data, list[Problem]]:
        """Check the password; a write without data keeps the stored hash (P-ACC-14)."""
        if data is None and old is not None:
            return dict(old), []
        attributes = data or {}
        password = attributes.get(PASSWORD)
        if isinstance(password, MaskedHash):
            return {**attributes, PASSWORD: (old or {}).get(PASSWORD)}, []
        if not is_acceptable(password):
            return attributes, [password_problem(password, f"{prefix}{PASSWORD}")]
        return {**attributes, PASSWORD: PlainPassword(password)}, []

    def attributes_to_store(self, uri: str, attributes: Data, slow_results: SlowResults) -> Data:
        """Hash a new password, only for permitted operations, once for each account and password of a request."""
        password = attributes.get(PASSWORD)
        if not isinstance(password, PlainPassword):
            return attributes
        password_hash = slow_results.get((uri, str(password)), lambda: self._hash_password(uri, password))
        return {**attributes, PASSWORD: password_hash}

    def _hash_password(self, uri: str, password: str) -> str:
        """Hash a password; later members of the request can log in with it without comparing the hash."""
        password_hash = hash_password(password, self._rounds)
        current_caller().created_hashes[password_hash] = self._logins.login_of(uri.rpartition("/")[2], password).value
        return password_hash

    def mask_secrets(self, data: Data) -> Data:
        """Replace the hash before a patch reads the attributes."""
        return {**data, PASSWORD: _MASKED_HASH}

    def writer(self, identity: Identity, object_id: str) -> str:  # noqa: ARG002  # a hook
        """Return the principal of the account: it belongs to its user, not to its creator (P-ACC-9, P-ACC-21)."""
        return f"{PREFIX}{object_id}"

    def write_error(self, identity: Identity, object_id: str | None, *, may_write_all: bool) -> ApiError | None:
        """Return the error for a new account without a name, or for a write to another user's account (P-ACC-16)."""
        if object_id is None:
            return Invalid(Problem("body", "data.id", "data.id in body: Required"))
        if identity.user_id is None or may_write_all or object_id == name_of(identity):
            return None
        return Invalid(Problem("body", "data.id", "Username and account ID do not match."))

    def own_object_id(self, identity: Identity) -> str:
        """Return the name of the own account; for other identities "", which is no valid name (P-ACC-23)."""
        return name_of(identity) or ""


def password_problem(password: Json, name: str) -> Problem:
    """Return the problem of a password that is not acceptable; *name* is that of its field."""
    if not password:
        return Problem("body", name, "Required")
    if not isinstance(password, str):
        return Problem("body", name, f"{password} is not a string: {{'password': ''}}")
    return Problem("body", name, "Longer than 72 bytes")
