"""Create accounts for commands, also those that settings declare administrators (operations contract, 2.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.authentication.passwords import hash_password, is_acceptable
from app.decisions.working_set import WorkingSet, next_timestamp
from app.errors import Invalid, Problem
from app.identity import EVERYONE
from app.operation import Effect
from app.service import Service
from app.settings import Settings
from app.transactions.write_transaction import WriteTransaction
from backends.codec import dumps
from backends.storage import Selection, Stored, read_bucket
from blueprints.plugins.accounts.kind import KIND, LIST, PASSWORD, PREFIX, AccountNames, password_problem, user_of

UNCLAIMED_ACCOUNT: Final = (
    "ANYBODY CAN BECOME %s: settings give it rights, no such account exists yet, and strangers may sign up "
    "(account_create_principals). Make it now: kinto create-user -u %s, or kinto migrate with KINTO_ADMIN_PASSWORD."
)


def anyone_can_sign_up(settings: Settings) -> bool:
    """Return whether settings let anonymous clients create accounts."""
    return EVERYONE in settings.principals(KIND, "create") | settings.principals(KIND, "write")


def missing_accounts(service: Service, principals: frozenset[str]) -> list[str]:
    """Return the names of the accounts among *principals* that do not exist. Raises BackendError."""
    names = sorted(_account_names(principals))
    users = tuple(map(user_of, names))
    existing = service.storage.read(Selection(LIST, users=users)).users if users else {}
    return [name for name in names if user_of(name) not in existing]


def make_administrators(service: Service, password: str) -> list[str]:
    """Create the accounts of administrators that do not exist, and return their names.

    Settings declare the administrators. Existing accounts keep their passwords. Raises Invalid for an invalid password.
    """
    names = missing_accounts(service, service.settings.principals(KIND, "write"))
    for name in names:
        create_user(service, name, password)
    return names


def create_user(service: Service, name: str, password: str) -> None:
    """Create an account, or change the password of an existing one and nothing else (O-CLI-25).

    No event is emitted, and no permission is checked. Raises Invalid for an invalid name or password.
    """
    if not AccountNames().match(name):
        raise Invalid(Problem("path", None, "Invalid object id"))
    if not is_acceptable(password):
        raise Invalid(password_problem(password, "data.password"))
    secret = hash_password(password, service.settings.account_bcrypt_rounds)
    uri = user_of(name).uri
    service.storage.start_clocks((LIST,))
    with service.transaction() as transaction:
        transaction.lock((LIST,))
        snapshot = transaction.read(Selection(read_bucket(uri), (uri,), clocks=(LIST,)))
        write = WriteTransaction(service, transaction, snapshot)
        write.apply_effects(_set_password(service, write.working_set, uri, secret))
        write.flush()


def _account_names(principals: frozenset[str]) -> Iterator[str]:
    names = AccountNames()
    for principal in principals:
        name = principal.removeprefix(PREFIX)
        if name != principal and names.match(name):
            yield name


def _set_password(service: Service, working_set: WorkingSet, uri: str, secret: str) -> Effect:
    """Return the effect that sets the password hash of an account; the account is created if it does not exist."""
    old = working_set.living(uri)
    timestamp = next_timestamp(working_set.clock(LIST), working_set.now)
    name = uri.rpartition("/")[2]
    document = {**(old.data() if old else {}), "id": name, "last_modified": timestamp, PASSWORD: secret}
    new = Stored(uri, timestamp, deleted=False, born=timestamp, text=dumps(document))
    permissions = working_set.permissions(uri)
    writers = permissions.get("write", frozenset()) | {f"{PREFIX}{name}"}
    return Effect(service.kinds[KIND], new, old, {**permissions, "write": writers}, timestamp)
