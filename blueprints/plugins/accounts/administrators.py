"""Make accounts from the command line, and those first that settings make administrators (operations contract, 2.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.authentication.passwords import acceptable, hashed
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

OPEN_TO_STRANGERS: Final = (
    "ANYBODY CAN BECOME %s: settings give it rights, no such account exists yet, and strangers may sign up "
    "(account_create_principals). Make it now: kinto create-user -u %s, or kinto migrate with KINTO_ADMIN_PASSWORD."
)


def strangers_may_sign_up(settings: Settings) -> bool:
    """Say whether settings let anybody make accounts."""
    return EVERYONE in settings.principals(KIND, "create") | settings.principals(KIND, "write")


def missing(service: Service, principals: frozenset[str]) -> list[str]:
    """Return the names among principals of accounts that do not exist. Raises BackendError."""
    names = sorted(_names(principals))
    users = tuple(map(user_of, names))
    known = service.storage.read(Selection(LIST, users=users)).users if users else {}
    return [name for name in names if user_of(name) not in known]


def make_administrators(service: Service, password: str) -> list[str]:
    """Make the accounts that settings make administrators and that do not exist; return their names.

    One that exists keeps its password. Raises Invalid for a password that cannot be one.
    """
    made = missing(service, service.settings.principals(KIND, "write"))
    for name in made:
        create_user(service, name, password)
    return made


def create_user(service: Service, name: str, password: str) -> None:
    """Create an account, or give an existing one another password; what else it holds stays (O-CLI-25).

    No event is raised, and nobody needs the permission. Raises Invalid for a name or password that cannot be one.
    """
    if not AccountNames().match(name):
        raise Invalid(Problem("path", None, "Invalid object id"))
    if not acceptable(password):
        raise Invalid(password_problem(password, "data.password"))
    secret = hashed(password, service.settings.account_bcrypt_rounds)
    uri = user_of(name).uri
    service.storage.start((LIST,))
    with service.storage.transaction() as transaction:
        transaction.lock((LIST,))
        seen = transaction.read(Selection(read_bucket(uri), (uri,), clocks=(LIST,)))
        writing = WriteTransaction(service, transaction, seen)
        writing.apply_effects(_with_password(service, writing.working_set, uri, secret))
        writing.flush()


def _names(principals: frozenset[str]) -> Iterator[str]:
    names = AccountNames()
    for principal in principals:
        name = principal.removeprefix(PREFIX)
        if name != principal and names.match(name):
            yield name


def _with_password(service: Service, work: WorkingSet, uri: str, secret: str) -> Effect:
    """Return the account as it is with a password, whether it was there or not."""
    old = work.living(uri)
    clock = next_timestamp(work.clock(LIST), work.now)
    id = uri.rpartition("/")[2]
    document = {**(old.data() if old else {}), "id": id, "last_modified": clock, PASSWORD: secret}
    new = Stored(uri, clock, False, clock, dumps(document))
    granted = work.permissions(uri)
    writers = granted.get("write", frozenset()) | {f"{PREFIX}{id}"}
    return Effect(service.kinds[KIND], new, old, {**granted, "write": writers}, clock)
