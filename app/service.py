"""What one running application is made of, and what a plugin may add to it. Two services share nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from app.decisions.decide import decide
from app.decisions.permissions import principals_with_groups
from app.decisions.rules import Rules
from app.decisions.working_set import WorkingSet
from app.errors import ApiError
from app.events import Context, Event, Listener
from app.identity import ANONYMOUS, Identity, Outdated, Policy, Reader, VerifyingReader
from app.kinds import Kind, Kinds, core_kinds
from app.operation import Operation, Outcome
from app.parsing.ids import Generator
from app.settings import PolicySettings, Settings
from app.settings.values import Reader as ValueReader
from backends import Json
from backends.cache import Cache
from backends.metrics import SILENT, Metrics
from backends.storage import Storage
from backends.tolerance import tolerate

log: Final = logging.getLogger("kinto.core.events")

Heartbeat = Callable[[], bool | None]
UserInfo = Callable[[Identity], Mapping[str, Json]]

_Answer = TypeVar("_Answer")
_Value = TypeVar("_Value")

_TRIES: Final = 3
"""How often credentials are checked whose user changes meanwhile."""


class Service:
    """Settings, backends, kinds, policies and listeners of one application.

    *generator* gives the id generator of a kind by its name. A plugin's `attach(app, service)` uses the methods that
    begin with `add_`, and the Flask application for its URLs. `identity_kinds` are kinds whose objects are users: each
    is the principal `<kind>:<id>`, is recognised in the batch that makes it, and leaves no grant when it is deleted.
    `listens_to_reads` says whether a listener wants to know what is only read.
    """

    def __init__(
        self, settings: Settings, storage: Storage, cache: Cache, generator: Callable[[str], Generator]
    ) -> None:
        self.settings = settings
        self.storage = storage
        self.cache = cache
        self.generator = generator
        self.kinds = Kinds()
        for kind in core_kinds(generator):
            self.kinds.add(kind)
        self.rules = Rules(
            settings.principals,
            settings.explicit_permissions,
            settings.experimental_collection_schema_validation,
            settings.timestamp_max_ahead_seconds * 1000,
        )
        self.metrics: Metrics = SILENT
        self.policies: list[Policy] = []
        self.policy_classes: dict[str, Callable[[PolicySettings, Service], Policy]] = {}
        self.capabilities: dict[str, dict[str, Json]] = {}
        self.public_settings: dict[str, Json] = {
            "batch_max_requests": settings.batch_max_requests,
            "readonly": settings.readonly,
            "explicit_permissions": settings.explicit_permissions,
        }
        self.heartbeats: dict[str, Heartbeat] = {}
        self.user_info: list[UserInfo] = []
        self.identity_kinds: set[str] = set()
        self.flush_steps: list[Callable[[], None]] = []
        self.start_checks: list[Callable[[], None]] = []
        self._listeners: list[Listener] = []
        self.has_listeners = self.listens_to_reads = False

    def add_kind(self, kind: Kind) -> None:
        """Add a kind of objects, with lists, permissions and URLs of its own."""
        self.kinds.add(kind)

    def add_identity_kind(self, name: str) -> None:
        """Declare that objects of a kind are users: each is the principal `<kind>:<id>`."""
        self.identity_kinds.add(name)

    def add_policy_class(self, dotted_name: str, factory: Callable[[PolicySettings, Service], Policy]) -> None:
        """Add a policy that the setting `multiauth.policy.<name>.use` chooses by a dotted name."""
        self.policy_classes[dotted_name] = factory

    def add_policy(self, policy: Policy) -> None:
        """Add a way to find out who asks; those added first are asked first."""
        self.policies.append(policy)

    def add_capability(self, name: str, description: str, url: str, **more: Json) -> None:
        """Tell clients in the hello view that something is offered. Raises ValueError when somebody does already."""
        if name in self.capabilities:
            raise ValueError(f"The {name!r} API capability was already registered ({self.capabilities[name]}).")
        self.capabilities[name] = {"description": description, "url": url, **more}

    def add_setting(self, name: str, reader: ValueReader[_Value], default: _Value) -> _Value:
        """Declare a setting of a plugin and return its value. Raises SettingError."""
        return self.settings.declare(name, reader, default)

    def add_public_setting(self, name: str, value: Json) -> None:
        """Show a setting in the hello view."""
        self.public_settings[name] = value

    def add_user_info(self, describe: UserInfo) -> None:
        """Add members to `user` in the hello view: those that *describe* returns for an identity."""
        self.user_info.append(describe)

    def add_start_check(self, check: Callable[[], None]) -> None:
        """Add a check that runs when a server starts, and not for commands."""
        self.start_checks.append(check)

    def add_flush_step(self, step: Callable[[], None]) -> None:
        """Add a step that follows the removal of all data. Errors that it raises are logged."""
        self.flush_steps.append(step)

    def add_heartbeat(self, name: str, check: Heartbeat) -> None:
        """Add a check to `__heartbeat__`: true, false, or None where nobody can say."""
        self.heartbeats[name] = check

    def add_listener(self, listener: Listener) -> None:
        """Tell somebody of what is changed or read; in the order of adding."""
        self._listeners.append(listener)
        self.has_listeners = True
        self.listens_to_reads |= "read" in listener.actions

    def notify_before(self, events: Sequence[Event], context: Context) -> None:
        """Tell listeners inside the transaction. An ApiError that one raises undoes everything (C-EVT-6)."""
        for event in events:
            for listener in self._listeners:
                if listener.before and listener.matches(event):
                    listener.before(event, context)

    def notify_after(self, events: Sequence[Event]) -> None:
        """Tell listeners that all is committed. What they raise is logged and changes nothing (C-EVT-7)."""
        for event in events:
            for listener in self._listeners:
                with tolerate(log, "Unable to notify", logging.ERROR):
                    if listener.after and listener.matches(event):
                        listener.after(event)

    def decide(self, operation: Operation, facts: WorkingSet) -> Outcome:
        """Decide one operation. Raises the ApiError that is its answer."""
        return decide(operation, facts, self.rules)

    def authenticate(self, authorization: str | None, read: Reader | None = None) -> Identity:
        """Return who sends these credentials: the first policy that knows them says so (P-BASIC-7).

        A login that is remembered has a proof, which the next read of the request must hold against the storage
        (`app.identity.Proving`). Raises ApiError when a policy lets nobody try at present.
        """
        if not authorization:
            return ANONYMOUS
        for policy in self.policies:
            known = policy.identify(authorization, read or self.storage.read)
            if isinstance(known, str):
                return Identity(known, known.partition(":")[0])
            if known is not None:
                return known
        return ANONYMOUS

    def authenticate_and_verify(self, authorization: str | None, read: Reader | None = None) -> Identity:
        """Return who sends these credentials, checked against what is stored now; costs a read where there is a proof.

        In a view that is a member of a batch, "now" is what the members before it have made.
        """
        return self._identify(authorization, (), read or self.storage.read)[0]

    def authenticate_with_groups(
        self, authorization: str | None, configured: Iterable[str] | None = None
    ) -> tuple[Identity, frozenset[str]]:
        """Return who sends these credentials, and the principals of `app.decisions.permissions.with_groups`.

        A remembered login is checked by the statement that reads the groups, or by one of its own without it.
        """
        return self._identify(authorization, configured, self.storage.read)

    def _identify(
        self, authorization: str | None, configured: Iterable[str] | None, read: Reader
    ) -> tuple[Identity, frozenset[str]]:
        return self.answer_authenticated(authorization, configured, lambda *known: known[:2], read)

    def answer_authenticated(
        self,
        authorization: str | None,
        configured: Iterable[str] | None,
        answer: Callable[[Identity, frozenset[str], VerifyingReader], _Answer],
        read: Reader | None = None,
    ) -> _Answer:
        """Return what *answer* returns for who sends these credentials, with the principals of `identify_with_groups`.

        A remembered login is checked by the first statement that is read through the `Proving`, or by one of its own
        after *answer*, also where that raises an ApiError. If the user has changed, *answer* is called again for
        whoever sends the credentials now: it must not have written anything outside a transaction by then.
        """
        read = read or self.storage.read
        for _ in range(_TRIES):
            identity = self.authenticate(authorization, read)
            proving = VerifyingReader(read, [identity])
            identity = replace(identity, proof=None)
            try:
                principals = principals_with_groups(identity, configured, proving)
                try:
                    result = answer(identity, principals, proving)
                except ApiError:
                    proving.verify()
                    raise
                proving.verify()
            except Outdated as outdated:
                for proof in outdated.proofs:
                    proof.forget()
                continue
            return result
        return answer(ANONYMOUS, principals_with_groups(ANONYMOUS, configured, read), VerifyingReader(read, ()))

    def challenges(self) -> list[str]:
        """Return the values of `WWW-Authenticate`, one for each policy that has one (C-ERR-5)."""
        return [challenge for policy in self.policies if (challenge := policy.challenge())]

    def flush(self) -> None:
        """Remove all data from storage and cache; the tables stay (plugins contract, 8.1).

        The cache comes first: if it fails, all data is still there. It is emptied again after the commit, because
        requests may have kept values of the old data meanwhile. Raises BackendError: then no data was removed.
        """
        self.cache.flush()
        self.storage.flush(self._lists_at_top())
        for step in (self.cache.flush, *self.flush_steps):
            with tolerate(log, "Unable to finish the removal of all data"):
                step()

    def migrate(self, dry_run: bool, report: Callable[[str], None]) -> None:
        """Create or upgrade the tables of the storage, and what the kinds at the top need in them."""
        self.storage.migrate(dry_run, report)
        if not dry_run:
            self.start()

    def start(self) -> None:
        """Make what the kinds at the top need: the clocks of their lists."""
        self.storage.start(self._lists_at_top())

    def _lists_at_top(self) -> list[str]:
        return [f"/{kind.plural}" for kind in self.kinds.at_top()]

    def close(self) -> None:
        """Give back what the backends hold."""
        self.storage.close()
