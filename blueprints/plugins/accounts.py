"""Accounts: users with a name and a password, kept as objects of the kind `account` (plugins contract, 4)."""

from __future__ import annotations

import logging
import re
import secrets
from typing import Final

import click
from flask import Flask

from app.basicauth import credentials
from app.errors import ApiError, Invalid, Problem
from app.events import Event, Listener
from app.identity import Identity, Reader
from app.ids import MAX_ID_CHARACTERS
from app.kinds import Behaviour, Data, Kind
from app.logins import Login, Logins
from app.operation import Effect
from app.passwords import Hashed, acceptable, hashed, verified
from app.service import Service
from app.settings import PolicySettings, SettingError, Settings
from app.work import Work
from app.writing import Writing
from backends import Json
from backends.codec import dumps
from backends.storage import Stored, Wanted, home

log: Final = logging.getLogger("kinto.plugins.accounts")

KIND: Final = "account"
NAME_PATTERN: Final = r"^[a-zA-Z0-9][+.@a-zA-Z0-9_-]*$"
POLICY: Final = "kinto.plugins.accounts.AccountsPolicy"

_LIST: Final = "/accounts"
_PREFIX: Final = f"{KIND}:"
_POLICY_ENDINGS: Final = ("AccountsPolicy", "AccountsAuthenticationPolicy")
_DOCUMENTATION: Final = "https://kinto.readthedocs.io/en/latest/api/1.x/accounts.html"


def attach(app: Flask, service: Service) -> None:
    """Add the kind `account`, the policy that lets accounts log in, and what ends remembered logins.

    Raises SettingError where the settings make no sense (P-ACC-1).
    """
    _check(service.settings)
    logins = _logins(service)
    service.add_kind(account_kind(service.settings))
    service.identity_kinds.add(KIND)
    service.policy_classes[POLICY] = lambda policy, service: AccountsPolicy(policy, service, logins)
    service.add_listener(Listener(after=lambda event: _forget(logins, event), kinds=frozenset((KIND,))))
    service.add_capability("accounts", "Manage user accounts.", _DOCUMENTATION, validation_enabled=False)


def _check(settings: Settings) -> None:
    """Refuse settings that would let nobody log in, or that contradict each other (plugins contract, 4.1)."""
    told = settings.under("multiauth.policy.").items()
    uses = [str(use).strip() for name, use in told if name.endswith((".use", "_use"))]
    if not any(use.endswith(_POLICY_ENDINGS) for use in uses):
        raise SettingError("multiauth.policies", _NO_POLICY)
    listed = [policy.name for policy in settings.policies]
    ours = [policy.name for policy in settings.policies if policy.use.endswith(_POLICY_ENDINGS)]
    if not ours:
        log.warning("The policy of accounts is not listed in multiauth.policies: nobody can log in with an account.")
    elif "basicauth" in listed[: listed.index(ours[0])]:
        text = f"'basicauth' should not be mentioned before {ours[0]!r} in 'multiauth.policies' setting."
        raise SettingError("multiauth.policies", text)
    creators = settings.principals(KIND, "create") - settings.principals(KIND, "write") - {"system.Everyone"}
    if creators:
        raise SettingError("account_create_principals", f"{_CREATORS} Affected users: {sorted(creators)}")
    if settings.storage_backend == "memory":
        click.secho(_VOLATILE, fg="red", err=True)


_NO_POLICY: Final = (
    "Account policy missing the 'multiauth.policy.*.use' setting. See AccountsPolicy in docs "
    "https://kinto.readthedocs.io/en/stable/api/1.x/accounts.html."
)
_CREATORS: Final = (
    "Configuration has some principals in account_create_principals but not in account_write_principals. "
    "Whoever creates accounts of others must be allowed to write them."
)
_VOLATILE: Final = "Accounts are lost at each start: storage_backend is memory. Use sqlite or postgresql to keep them."


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


def account_kind(settings: Settings) -> Kind:
    """Make the kind: lists at the top, the hash of the password never shown."""
    behaviour = AccountBehaviour(settings.account_bcrypt_rounds)
    names = AccountNames()
    return Kind(KIND, "accounts", ("read", "write"), names, private=("password",), behaviour=behaviour)


def name_of(identity: Identity) -> str | None:
    """Return the name of the account behind an identity, None for all others."""
    user_id = identity.user_id or ""
    return user_id.removeprefix(_PREFIX) if user_id.startswith(_PREFIX) else None


class Kept(str):
    """What a patch sees in the place of the hash: it must neither read it nor copy it to where it shows."""

    __slots__ = ()


_KEPT: Final = Kept("***")


class AccountBehaviour(Behaviour):
    """What differs for accounts: passwords are hashed, and everybody deals with the own account only."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def receive(self, data: Data) -> Data:
        """Hash the password, so that no lock is held meanwhile."""
        password = data.get("password")
        return {**data, "password": hashed(password, self._rounds)} if acceptable(password) else data

    def prepare(self, kind: str, data: Data | None, old: Data | None, prefix: str) -> tuple[Data, list[Problem]]:
        """Check the password and hash what is none yet (a value in a JSON Patch); a touch keeps it (P-ACC-14)."""
        if data is None and old is not None:
            return dict(old), []
        given = data or {}
        password = given.get("password")
        if isinstance(password, Hashed):
            return given, []
        if isinstance(password, Kept):
            return {**given, "password": (old or {}).get("password")}, []
        if not acceptable(password):
            return given, [_problem(password, f"{prefix}password")]
        return {**given, "password": hashed(password, self._rounds)}, []

    def conceal(self, data: Data) -> Data:
        """Hide the hash from a patch."""
        return {**data, "password": _KEPT}

    def writer(self, identity: Identity, id: str) -> str:
        """Return the account itself: it belongs to its user, whoever made it (P-ACC-9, P-ACC-21)."""
        return f"{_PREFIX}{id}"

    def refuse(self, identity: Identity, id: str | None, may_write_all: bool) -> ApiError | None:
        """Refuse a new account without a name, and all but administrators on the accounts of others (P-ACC-16)."""
        name = name_of(identity)
        if id is None and name is None:
            return Invalid(Problem("body", "data.id", "data.id in body: Required"))
        if identity.user_id is None or may_write_all or id in (None, name):
            return None
        return Invalid(Problem("body", "data.id", "Username and account ID do not match."))

    def own(self, identity: Identity) -> str:
        """Return the own name; for those without an account a text that no account is called (P-ACC-23)."""
        return name_of(identity) or ""

    def default_id(self, identity: Identity) -> str | None:
        """Return the own name."""
        return name_of(identity)


def _problem(password: Json, name: str) -> Problem:
    if not password:
        return Problem("body", name, "Required")
    if not isinstance(password, str):
        return Problem("body", name, f"{password} is not a string: {{'password': ''}}")
    return Problem("body", name, "Longer than 72 bytes")


def _logins(service: Service) -> Logins:
    settings = service.settings
    return Logins(service.cache, settings.userid_hmac_secret, settings.account_cache_ttl_seconds)


def _forget(logins: Logins, event: Event) -> None:
    """End the remembered logins of accounts that were changed or deleted (P-ACC-6)."""
    for impacted in event.impacted_objects:
        logins.forget(impacted["new"]["id"])


class AccountsPolicy:
    """Log in with the name and the password of an account; the user id is `account:<name>` (P-ACC-3)."""

    def __init__(self, policy: PolicySettings, service: Service, logins: Logins) -> None:
        self.name = policy.name
        self._service = service
        self._logins = logins
        self._names = AccountNames()
        self._realm = str(policy.options.get("realm", "Realm"))

    def identify(self, authorization: str, read: Reader) -> str | None:
        """Return the user id; None for a wrong password, an unknown name and what is no basic authentication."""
        known = credentials(authorization)
        if known is None or not self._names.match(known[0]):
            return None
        name, password = known
        if read != self._service.storage.read:
            right = self._changed(name, read) and self._verified(name, password, read)
        else:
            login = self._logins.login(name, password)
            right = self._logins.knows(login) or self._checked(name, password, login)
        return f"{_PREFIX}{name}" if right else None

    def _changed(self, name: str, read: Reader) -> bool:
        """Say whether the transaction changed the account: if not, the answer is the one that there was before it."""
        return _account(name, read) != _account(name, self._service.storage.read)

    def _verified(self, name: str, password: str, read: Reader) -> bool:
        return verified(password, _hash(name, read), self._service.settings.account_bcrypt_rounds)

    def _checked(self, name: str, password: str, login: Login) -> bool:
        """Compare with what is stored, and remember a success."""
        read = self._service.storage.read
        stored = _hash(name, read)
        if not verified(password, stored, self._service.settings.account_bcrypt_rounds):
            return False
        self._logins.remember(login)
        if _hash(name, read) != stored:  # changed meanwhile: who changed it may have forgotten the login before this
            self._logins.forget(name)
            return False
        return True

    def challenge(self) -> str:
        """Return the value of `WWW-Authenticate`."""
        return f'Basic realm="{self._realm}"'


def _account(name: str, read: Reader) -> Stored | None:
    uri = f"{_LIST}/{name}"
    stored = read(Wanted(home(uri), targets=(uri,))).objects.get(uri)
    return None if stored is None or stored.deleted else stored


def _hash(name: str, read: Reader) -> Json:
    stored = _account(name, read)
    return stored.data().get("password") if stored else None


def create_user(service: Service, name: str, password: str) -> None:
    """Create an account, or give an existing one another password; what else it holds stays (O-CLI-25).

    No event is raised, and nobody needs the permission. Raises Invalid for a name or password that cannot be one.
    """
    if not AccountNames().match(name):
        raise Invalid(Problem("path", None, "Invalid object id"))
    if not acceptable(password):
        raise Invalid(_problem(password, "data.password"))
    secret = hashed(password, service.settings.account_bcrypt_rounds)
    uri = f"{_LIST}/{name}"
    service.storage.start((_LIST,))
    with service.storage.transaction() as transaction:
        transaction.lock((_LIST,))
        seen = transaction.read(Wanted(home(uri), (uri,), clocks=(_LIST,)))
        writing = Writing(service, transaction, seen)
        writing.take(_with_password(service.settings, writing.work, uri, secret))
        writing.flush()
    _logins(service).forget(name)


def _with_password(settings: Settings, work: Work, uri: str, secret: Hashed) -> Effect:
    """Return the account as it is with a password, whether it was there or not."""
    old, former = work.living(uri), work.seen.objects.get(uri)
    clock = max(work.now, work.clock(_LIST) + 1)
    id = uri.rpartition("/")[2]
    document = {**(old.data() if old else {}), "id": id, "last_modified": clock, "password": secret}
    new = Stored(uri, clock, False, former.born if former else clock, dumps(document))
    granted = work.permissions(uri)
    writers = granted.get("write", frozenset()) | {f"{_PREFIX}{id}"}
    return Effect(account_kind(settings), new, old, {**granted, "write": writers}, clock)
