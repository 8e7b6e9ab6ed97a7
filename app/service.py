"""The service: the parts of one running application, and the methods by which a plugin adds to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from app.aliases import Alias, Aliases
from app.authenticator import Authenticator
from app.decisions.rules import Rules
from app.events import Listener, Rule
from app.identity import AnyPolicy, Identity
from app.indexing import Indexing
from app.kinds import Kind, Kinds, core_kinds
from app.notifier import Notifier
from app.observations import Observation, Observer
from app.parsing.ids import Generator
from app.parsing.indexes import index_definitions
from app.settings import PolicySettings, Settings, convert_errors, is_declared
from app.settings.values import Reader as ValueReader
from backends import Json
from backends.cache import Cache
from backends.codec import dumps
from backends.metrics import NO_METRICS, Metrics
from backends.storage import PluginTables, Storage, Stored, Takeover, Transaction
from backends.tolerance import tolerate

log: Final = logging.getLogger("kinto.service")

Heartbeat = Callable[[], bool | None]
UserInfo = Callable[[Identity], Mapping[str, Json]]

_Value = TypeVar("_Value")

_OPENAPI_METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options")


class LoadStep(Protocol):
    """What a plugin computes from the objects of a dump while they are loaded, for tables of its own."""

    def add(self, kind: Kind, stored: Stored) -> None:
        """Note an object, or a tombstone."""

    def finish(self, transaction: Transaction) -> None:
        """Write the rows, in the transaction that has written the objects."""


class Service:
    """The settings, backends, kinds, policies and listeners of one application. Two services share nothing.

    *generator* returns the id generator of a kind by its name. A plugin's `attach(app, service)` uses the methods that
    begin with `add_`, and the Flask application for its URLs. `identity_kinds` are kinds whose objects are users: each
    is the principal `<kind>:<id>`, can log in within the batch that creates it, and loses all grants when it is
    deleted. `observers` get what is measured: without metrics there are none, and nothing is measured.
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
        self.aliases = Aliases(self.kinds, readonly=settings.readonly)
        self.rules = Rules(
            settings.principals,
            settings.explicit_permissions,
            settings.experimental_collection_schema_validation,
            settings.timestamp_max_ahead_seconds * 1000,
        )
        self.indexing = Indexing(
            storage,
            self.kinds.derived,
            builds=settings.index_builder and not settings.readonly,
            automatic=settings.automatic_indexes,
        )
        self.metrics: Metrics = NO_METRICS
        self.observers: list[Observer] = []
        self.authenticator = Authenticator(storage)
        self.notifier = Notifier(self.kinds)
        self.policy_classes: dict[str, Callable[[PolicySettings, Service], AnyPolicy]] = {}
        self.capabilities: dict[str, dict[str, Json]] = {}
        self.public_settings: dict[str, Json] = {
            "batch_max_requests": settings.batch_max_requests,
            "readonly": settings.readonly,
            "explicit_permissions": settings.explicit_permissions,
        }
        self.heartbeats: dict[str, Heartbeat] = {}
        self.user_info: list[UserInfo] = []
        self.openapi: dict[str, dict[str, Mapping[str, Json]]] = {}
        self._operation_ids: dict[str, str] = {}
        self._own_settings: set[str] = set()
        self.identity_kinds: set[str] = set()
        self.flush_steps: list[Callable[[], None]] = []
        self.migration_steps: list[Callable[[], None]] = []
        self.start_checks: list[Callable[[], None]] = []
        self.tables: list[PluginTables] = []
        self.object_tables: list[PluginTables] = []
        self.load_steps: list[Callable[[], LoadStep]] = []
        self.request_rules: list[Rule] = []

    def add_kind(self, kind: Kind) -> None:
        """Add a kind of objects, with lists, permissions and URLs of its own."""
        self.kinds.add(kind)

    def add_alias(self, alias: Alias) -> None:
        """Add an id that stands for an object of each user."""
        self.aliases.add(alias)

    def add_identity_kind(self, name: str) -> None:
        """Declare that objects of a kind are users: each is the principal `<kind>:<id>`. Raises ValueError."""
        if name not in self.kinds:
            raise ValueError(f"The kind {name!r} of users was not registered before.")
        self.identity_kinds.add(name)

    def add_policy_class(self, dotted_name: str, factory: Callable[[PolicySettings, Service], AnyPolicy]) -> None:
        """Add a policy that the setting `multiauth.policy.<name>.use` chooses by a dotted name. Raises ValueError."""
        _register(self.policy_classes, dotted_name, factory, "policy class")

    def add_policy(self, policy: AnyPolicy) -> None:
        """Add an authentication policy. Policies are tried in the order in which they were added.

        Raises ValueError for an object that is no policy.
        """
        self.authenticator.add(policy)

    def add_capability(self, name: str, description: str, url: str, **more: Json) -> None:
        """Add a capability to the hello view. Raises ValueError when one of this name exists already.

        All values are shown as JSON: TypeError is raised for one that cannot be.
        """
        if name in self.capabilities:
            raise ValueError(f"The {name!r} API capability was already registered ({self.capabilities[name]}).")
        capability = {"description": description, "url": url, **more}
        _expect_json(capability, "capability", name)
        self.capabilities[name] = capability

    def add_setting(self, name: str, reader: ValueReader[_Value], default: _Value, meaning: str = "") -> _Value:
        """Declare a setting of a plugin and return its value. Raises SettingError; ValueError for the name of another.

        `kinto settings` prints it with its *meaning*, one line of Markdown.
        """
        plain = name.removeprefix("kinto.")
        if plain in self._own_settings or is_declared(plain):
            raise ValueError(f"The setting {plain!r} was already registered.")
        self._own_settings.add(plain)
        return self.settings.declare(name, reader, default, meaning)

    def add_public_setting(self, name: str, value: Json) -> None:
        """Show a setting in the hello view. Raises ValueError for a duplicate, TypeError for what is no JSON."""
        _expect_json(value, "public setting", name)
        _register(self.public_settings, name, value, "public setting")

    def add_openapi(self, path: str, operations: Mapping[str, Mapping[str, Json]]) -> None:
        """Describe URLs of a plugin in the OpenAPI document: the operations of *path*, by method in lower case.

        What an operation does not say is completed: that it takes the ids in the path, returns JSON, and needs no
        authentication. Raises ValueError when another plugin has described a method or used an operation id, or for
        what no document can have.
        """
        wrong = [method for method in operations if method not in _OPENAPI_METHODS]
        if wrong or not path.startswith("/"):
            raise ValueError(f"The OpenAPI path {path!r} has no slash at its beginning, or the methods {wrong}.")
        _expect_json(operations, "OpenAPI path", path)
        methods = self.openapi.setdefault(path, {})
        for method, operation in operations.items():
            operation_id = operation.get("operationId")
            if operation_id is not None:
                _register(self._operation_ids, str(operation_id), path, "OpenAPI operation")
            _register(methods, method, operation, f"OpenAPI path {path!r}: the method")

    def add_user_info(self, describe: UserInfo) -> None:
        """Add members to `user` in the hello view: those that *describe* returns for an identity."""
        self.user_info.append(describe)

    def add_start_check(self, check: Callable[[], None]) -> None:
        """Add a check that runs when a server starts, and not for commands."""
        self.start_checks.append(check)

    def add_flush_step(self, step: Callable[[], None]) -> None:
        """Add a step that follows the removal of all data. Errors that it raises are logged."""
        self.flush_steps.append(step)

    def add_migration_step(self, step: Callable[[], None]) -> None:
        """Add a step that follows each `migrate`: it derives what tables of a plugin lack of the objects."""
        self.migration_steps.append(step)

    def add_heartbeat(self, name: str, check: Heartbeat) -> None:
        """Add a check to `__heartbeat__`: true, false, or None if the state is unknown. Raises ValueError."""
        _register(self.heartbeats, name, check, "heartbeat")

    def add_listener(self, listener: Listener) -> None:
        """Add a listener to changes or reads. Listeners are called in the order in which they were added."""
        self.notifier.add(listener)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a writing transaction of the storage, which locks the lists of the kinds of this service in order."""
        return self.storage.transaction(self.kinds.derived)

    def add_rule(self, rule: Rule) -> None:
        """Add a rule on all effects of a request. Rules are called in the order in which they were added."""
        self.request_rules.append(rule)

    def add_tables(self, tables: PluginTables) -> None:
        """Add the tables of a plugin. Raises ValueError when another plugin has tables or a table of this name."""
        if any(tables.name == other.name for other in self.tables):
            raise ValueError(f"The tables {tables.name!r} were already registered.")
        of_others = {table.name for other in self.tables for table in other.tables}
        for table in tables.tables:
            if table.name in of_others:
                raise ValueError(f"The table {table.name!r} was already registered.")
        self.tables.append(tables)
        if tables.of_objects:
            self.object_tables.append(tables)

    def add_load_step(self, make: Callable[[], LoadStep]) -> None:
        """Add a step of `kinto load`: *make* is called at the beginning of each."""
        self.load_steps.append(make)

    def uses_deleted_documents(self, kind: Kind) -> bool:
        """Return whether a rule, or a listener to deletions, uses the documents that objects of a kind had."""
        return bool(self.request_rules) or self.notifier.uses_deleted_documents(kind)

    def observe(self, observation: Observation) -> None:
        """Pass a measurement to all observers."""
        for observer in self.observers:
            observer(observation)

    def flush(self) -> None:
        """Remove all data from storage and cache; the tables stay (plugins contract, 8.1).

        The cache comes first: if that fails, all data is still there. It is emptied again after the commit, because
        requests may have cached values of the old data meanwhile. Raises BackendError: then no data was removed.
        """
        self.cache.flush()
        self.storage.flush(self.lists_at_top(), self.tables)
        for step in (self.cache.flush, *self.flush_steps):
            with tolerate(log, "Unable to finish the removal of all data"):
                step()

    def migrate(
        self, report: Callable[[str], None], *, dry_run: bool = False, takeover: Takeover | None = None
    ) -> None:
        """Create or upgrade tables, and the clocks of the lists at the top; *report* gets a line for each step.

        Then the steps of plugins follow, unless the service is read-only. With *takeover* the data of Kinto in the
        database are taken over, and the indexes that its collections declare.
        """
        takeover = takeover and replace(takeover, declared_indexes=index_definitions)
        self.storage.migrate(report, self.tables, dry_run=dry_run, takeover=takeover)
        if dry_run:
            return
        self.start()
        if not self.settings.readonly:
            for step in self.migration_steps:
                with convert_errors("includes", f"a migration step of {getattr(step, '__module__', step)} failed"):
                    step()

    def start(self) -> None:
        """Create the clocks of the lists at the top."""
        self.storage.start_clocks(self.lists_at_top())

    def lists_at_top(self) -> list[str]:
        """Return the lists that are in no object."""
        return [f"/{kind.plural}" for kind in self.kinds.at_top()]

    def close(self) -> None:
        """Release the resources of the backends and metrics."""
        self.storage.close()
        self.metrics.close()


def _register(entries: dict[str, _Value], name: str, value: _Value, thing: str) -> None:
    """Add an entry. Raises ValueError for a duplicate: no plugin replaces a part of the service or another plugin."""
    if name in entries:
        raise ValueError(f"The {thing} {name!r} was already registered.")
    entries[name] = value


def _expect_json(value: object, thing: str, name: str) -> None:
    """Raise TypeError for a value that responses cannot show."""
    try:
        dumps(value)
    except TypeError as error:
        raise TypeError(f"The {thing} {name!r} is no JSON: {error}.") from error
