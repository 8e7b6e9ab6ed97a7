"""Make an application from its settings. The one module that sees all layers."""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from werkzeug.middleware.proxy_fix import ProxyFix

from app.authentication.basicauth import BasicAuth
from app.identity import AnyPolicy
from app.listeners import load_listeners
from app.parsing import ids
from app.service import Service
from app.settings import PolicySettings, SettingError, Settings, convert_errors, import_name, load
from app.settings.aliases import BASIC_POLICY, CLASSIC, HEKA
from app.settings.sources import DEFAULT_PORT
from backends import BackendError, Pool
from backends import cache as caches
from backends.cache import Cache, CacheOptions
from backends.logs import configuration
from backends.logs.formats import Origin, Renderer
from backends.storage import PluginTables, Storage
from backends.storage.migrations import SchemaError
from blueprints.batch import batch
from blueprints.core import core, read_version_file
from blueprints.deadlines import Deadlines
from blueprints.exchanges import Exchanges, note_decision
from blueprints.heartbeat import heartbeat
from blueprints.http import register_hooks
from blueprints.openapi import expect_distinct_names, openapi
from blueprints.permissions import permissions
from blueprints.request_bodies import RequestBodies
from blueprints.resources import resources
from blueprints.user_data import user_data

log: Final = logging.getLogger("kinto.factory")

_STORAGES: Final = {"memory": "sqlite", "sqlite": "sqlite", "postgresql": "postgresql"}
_PLUGIN_FOLDER: Final = "kinto.plugins."
_BUILT_IN: Final = (
    "accounts",
    "admin",
    "counters",
    "default_bucket",
    "flush",
    "history",
    "openid",
    "prometheus",
    "quotas",
    "statsd",
)


def create_app(settings: Mapping[str, Any] | Settings | None = None) -> Flask:
    """Make an application from settings named as in `kinto.ini`; without any, from environment and ini file.

    May be called many times in a process: two applications share nothing. Raises SettingError.
    """
    loaded = settings if isinstance(settings, Settings) else load(settings)
    open_logs(loaded, by_default=settings is None)
    app = new_flask()
    assemble(app, loaded, lambda: open_storage(loaded, app))
    return app


def assemble(app: Flask, settings: Settings, make_storage: Callable[[], Storage]) -> None:
    """Assemble an application on the storage that *make_storage* returns. Raises SettingError."""
    open_sentry(settings)
    with convert_errors("version_json_path", f"{settings.version_json_path!r} is no file with JSON"):
        read_version_file(settings.version_json_path)
    measuring = open_measuring(settings)
    storage, cache = make_storage(), open_cache(settings)
    answers = _expect_complete(storage)
    if measuring:
        storage, cache = measuring.time_backends(storage, cache)
    service = _new_service(settings, storage, cache)
    if measuring:
        service.metrics = measuring.metrics
        service.observers += [note_decision, measuring.observe]
    register_hooks(app, service)
    _extend(app, service)
    if measuring:
        measuring.time_policies_and_listeners(service)
    for make in (resources, core, heartbeat, permissions, user_data, openapi):
        app.register_blueprint(make(service))
    app.register_blueprint(batch(service, app))
    _expect_distinct_urls(app)
    expect_distinct_names(service)
    if answers and not storage.embedded:
        _look_for_tables(service)
    for check in service.start_checks:
        with convert_errors("includes", f"a start check of {getattr(check, '__module__', check)} failed"):
            check()
    for warning in settings.warnings:
        log.warning(warning)
    _wrap(app, service)
    app.extensions["kinto"] = service
    logging.getLogger("kinto.core").info("Running %s %s.", settings.project_name, settings.project_version)


def _expect_complete(storage: Storage) -> bool:
    """Return whether the database answers: it may do so later. Raises SettingError if it lacks data."""
    try:
        storage.expect_complete()
    except SchemaError as error:
        raise SettingError("storage_url", str(error)) from error
    except BackendError as error:
        log.warning("The storage does not answer yet: %s", error)
        return False
    return True


def create_service(settings: Settings) -> Service:
    """Make an application's service without its URLs, for commands: nothing is measured. Raises SettingError."""
    app = new_flask()
    service = _new_service(settings, open_storage(settings, app), open_cache(settings))
    _extend(app, service)
    for warning in settings.warnings:
        log.warning(warning)
    return service


def new_flask() -> Flask:
    """Make a Flask application without URLs, which keeps empty segments of paths."""
    app = Flask("kinto", static_folder=None)
    app.url_map.merge_slashes = False
    return app


def _extend(app: Flask, service: Service) -> None:
    """Add the listeners, plugins and policies of the settings, and start an embedded storage."""
    for listener in load_listeners(service.settings):
        service.add_listener(listener)
    for name in service.settings.includes:
        attach_plugin(name, app, service)
    for policy in service.settings.policies:
        opened = open_policy(policy, service)
        with convert_errors(f"multiauth.policy.{policy.name}.use", f"{policy.use!r} cannot be used"):
            service.add_policy(opened)
    for listener in service.notifier.listeners:
        function = listener.before or listener.at_commit or listener.together or listener.after
        name = listener.name or getattr(function, "__module__", "")
        for kind in sorted(kind for kind in listener.kinds if kind not in service.kinds):
            log.warning("The listener %r is for the kind %r, which no included plugin has.", name, kind)
    if service.storage.embedded:
        with convert_errors("storage_url", "the tables cannot be created or upgraded", [service.settings.storage_url]):
            if service.tables:
                service.migrate(lambda _: None)
            else:
                service.start()


def _look_for_tables(service: Service) -> None:
    """Log an error if `kinto migrate` has not made the tables of the plugins. They may be made later."""
    for tables in service.tables:
        try:
            service.storage.ping((tables,), write=False)
        except BackendError as error:
            log.error("The tables of the plugin %r cannot be read: run kinto migrate (%s).", tables.name, error)


def _expect_distinct_urls(app: Flask) -> None:
    """Raise SettingError if two views have the same URL, as one of them would never be called."""
    views: dict[tuple[str, str], str] = {}
    for rule in app.url_map.iter_rules():
        view = f"{app.view_functions[rule.endpoint].__module__} ({rule.endpoint})"
        for method in rule.methods or ():
            other = views.setdefault((re.sub("<.*?>", "<>", rule.rule), method), view)
            if other != view:
                raise SettingError("includes", f"the URL {rule.rule} has two views, of {other} and of {view}.")


def _wrap(app: Flask, service: Service) -> None:
    """Wrap the application in its WSGI middleware."""
    settings = service.settings
    # Flask documents `wsgi_app` as the place for middleware; mypy sees a method there.
    if settings.newrelic_config:
        _wrap_in_new_relic(app, settings.newrelic_config, settings.newrelic_env)
    if settings.profiler_enabled:
        profiling = importlib.import_module("blueprints.profiling")
        with convert_errors("profiler_dir", "no files can be written there"):
            app.wsgi_app = profiling.Profiling(app.wsgi_app, settings.profiler_dir)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0, x_host=0)  # type: ignore[method-assign]
    application = Deadlines(app.wsgi_app, settings.storage_request_timeout)
    app.wsgi_app = RequestBodies(Exchanges(application, service))  # type: ignore[method-assign]


_RENDERERS: Final[Mapping[str | None, Renderer]] = {HEKA: "heka", CLASSIC: "classic"}


def open_logs(settings: Settings, *, by_default: bool) -> None:
    """Configure the logging of this process by the ini file, or *by_default* without one. Raises SettingError.

    A program that passes settings of its own has configured logging itself, unless these settings configure it.
    """
    if not (by_default or settings.logging_sections or settings.logging_renderer):
        return
    hostname = socket.gethostname()
    origin = Origin(settings.project_name, hostname, str(settings.get("hostname", hostname)))
    renderer, port = _RENDERERS.get(settings.logging_renderer), str(settings.get("port", DEFAULT_PORT))
    with convert_errors("loggers", "the logging sections of the file cannot be used"):
        configuration.configure(settings.logging_sections, port, renderer, origin)


def open_sentry(settings: Settings) -> None:
    """Start Sentry where the setting or a handler of the ini file gives its DSN. Raises SettingError."""
    senders: list[Any] = [handler for handler in configuration.handlers() if getattr(handler, "dsn", None)]
    dsn = settings.sentry_dsn or next((handler.dsn for handler in senders), None)
    if not dsn:
        return
    running = f"{settings.project_name} {settings.project_version}"
    breadcrumbs, events = settings.sentry_breadcrumbs_min_level, settings.sentry_events_min_level
    try:
        sentry = importlib.import_module("backends.sentry")
        sentry.start(dsn, settings.sentry_env, running, breadcrumbs, events if settings.sentry_dsn else None)
    except ImportError as error:
        raise SettingError("sentry_dsn", f"the package sentry-sdk is not installed ({error}).") from error
    except ValueError as error:
        raise SettingError("sentry_dsn", "a DSN like https://key@host/project is expected.") from error
    # Otherwise the log line of the start is sent as an event anyway.
    if settings.sentry_dsn and min([events, *(handler.level for handler in senders)]) > logging.INFO:
        sentry.send_message(f"Running {running}.")


def _new_service(settings: Settings, storage: Storage, cache: Cache) -> Service:
    """Make a service on its backends, with the heartbeats and capabilities of every service."""
    _load_generator("id_generator", settings.default_id_generator)
    for kind in settings.kinds_with_generators():
        id_generator(settings, kind)
    service = Service(settings, storage, cache, lambda kind: id_generator(settings, kind))
    service.add_heartbeat("storage", lambda: _ping(storage, service.tables, write=not settings.readonly))
    service.add_heartbeat("permission", lambda: _ping(storage, (), write=False))
    service.add_heartbeat("cache", cache.ping)
    for policy in settings.policies:
        if policy.name == "basicauth":
            service.add_capability("basicauth", _BASICAUTH, f"{_READ_THE_DOCS}/stable/api/1.x/authentication.html")
    if settings.announce_indexes:
        service.add_capability("indexes", _INDEXES, settings.project_docs)
    if settings.experimental_collection_schema_validation:
        url = "https://kinto.readthedocs.io/en/latest/api/1.x/collections.html#collection-json-schema"
        service.add_capability("schema", "Validates collection records with JSON schemas.", url)
    if settings.experimental_permissions_endpoint:
        url = "https://kinto.readthedocs.io/en/latest/configuration/settings.html#activating-the-permissions-endpoint"
        service.add_capability("permissions_endpoint", _PERMISSIONS, url)
    return service


_READ_THE_DOCS: Final = "http://kinto.readthedocs.io/en"
_BASICAUTH: Final = "Very basic authentication sessions. Not for production use."
_INDEXES: Final = "Collections declare indexes for queries of their records."
_PERMISSIONS: Final = "The permissions endpoint can be used to list all user objects permissions."


def _ping(storage: Storage, tables: Sequence[PluginTables], *, write: bool) -> bool:
    """Return True if a storage answers, has *tables*, and accepts writes with *write*. Raises BackendError."""
    storage.ping(tables, write=write)
    return True


def open_storage(settings: Settings, app: Flask) -> Storage:
    """Open the storage of the settings on engines that Flask-SQLAlchemy makes and keeps. Raises SettingError."""
    name = _STORAGES.get(settings.storage_backend)
    module = (
        importlib.import_module(f"backends.storage.{name}") if name else _load_storage_module(settings.storage_backend)
    )
    pool = Pool(
        settings.storage_pool_size,
        settings.storage_max_overflow,
        settings.storage_pool_timeout,
        settings.storage_pool_recycle,
        settings.storage_max_backlog,
        echo=settings.storage_echo,
        lock_timeout_seconds=settings.storage_lock_timeout,
        prepare=settings.storage_prepare,
    )
    # An error that a third-party module raises need not be about the URL.
    setting = "storage_url" if name else "storage_backend"
    with convert_errors(setting, "the storage cannot be opened", [settings.storage_url]), app.app_context():
        url = settings.storage_url or module.temporary_url()
        reading, writing = module.engine_options(url, pool)
        app.config["SQLALCHEMY_BINDS"] = {None: writing, "reads": reading}
        database = SQLAlchemy(app)
        storage: Storage = module.open_storage(database.engines["reads"], database.engine)
    return storage


def _load_storage_module(dotted: str) -> Any:
    module = import_name("storage_backend", dotted)
    if not hasattr(module, "open_storage"):
        raise SettingError("storage_backend", f"Invalid storage backend: {module!r}")
    return module


def open_cache(settings: Settings) -> Cache:
    """Open the cache of the settings. Raises SettingError."""
    pool = Pool(
        settings.cache_pool_size,
        settings.cache_max_overflow,
        settings.cache_pool_timeout,
        settings.cache_pool_recycle,
        settings.cache_max_backlog,
        settings.cache_pool_pre_ping,
        settings.cache_echo,
    )
    setting = "cache_backend" if "." in settings.cache_backend else "cache_url"
    with convert_errors(setting, f"the cache {settings.cache_backend!r} cannot be opened", [settings.cache_url]):
        options = CacheOptions(
            url=settings.cache_url,
            hosts=settings.cache_hosts,
            prefix=settings.cache_prefix,
            max_size_bytes=settings.cache_max_size_bytes,
            pool=pool,
        )
        return caches.load(settings.cache_backend, options)


def id_generator(settings: Settings, kind: str) -> ids.Generator:
    """Return the id generator of a kind. Raises SettingError."""
    return _load_generator(f"{kind}_id_generator", settings.id_generator(kind))


def _load_generator(setting: str, name: str) -> ids.Generator:
    with convert_errors(setting, f"{name!r} cannot be used"):
        return ids.load_generator(name)


def open_measuring(settings: Settings) -> Any:
    """Open the metrics: StatsD, and plugins with `open_metrics(settings)`. None if no setting asks for metrics."""
    modules = [module for module in map(load_plugin, settings.includes) if hasattr(module, "open_metrics")]
    if not settings.statsd_url and not modules:
        return None
    return importlib.import_module("measuring.metrics").open_measuring(settings, modules)


def _wrap_in_new_relic(app: Flask, config: str, environment: str) -> None:
    """Wrap the application in the agent of New Relic (O-MON-34). Raises SettingError."""
    if not Path(config).is_file():
        raise SettingError("newrelic_config", f"there is no file {config!r}.")
    try:
        newrelic = importlib.import_module("backends.metrics.newrelic")
    except ImportError as error:
        raise SettingError("newrelic_config", f"the package newrelic is not installed ({error}).") from error
    with convert_errors("newrelic_config", f"the agent cannot start with the file {config!r}"):
        # Flask documents this attribute as the place for middleware; mypy sees a method there.
        app.wsgi_app = newrelic.wrap_application(app.wsgi_app, config, environment)  # type: ignore[method-assign]


def attach_plugin(name: str, app: Flask, service: Service) -> None:
    """Attach a plugin. Raises SettingError."""
    module = load_plugin(name)
    if inspect.iscoroutinefunction(module.attach) or inspect.isgeneratorfunction(module.attach):
        raise SettingError("includes", f"attach of the plugin {name!r} is no plain function.")
    with convert_errors("includes", f"the plugin {name!r} cannot be attached"):
        module.attach(app, service)


def load_plugin(name: str) -> Any:
    """Load a plugin: a module with `attach(app, service)`. Raises SettingError."""
    short_name = name.removeprefix(_PLUGIN_FOLDER)
    is_built_in = name.startswith(_PLUGIN_FOLDER) and short_name in _BUILT_IN
    if name.startswith(_PLUGIN_FOLDER) and not is_built_in:
        raise SettingError("includes", f"the plugin {name!r} is not provided.")
    module: Any = (
        importlib.import_module(f"blueprints.plugins.{short_name}") if is_built_in else import_name("includes", name)
    )
    if not callable(getattr(module, "attach", None)):
        raise SettingError("includes", f"{name!r} is no plugin of this service: it has no attach(app, service).")
    return module


def open_policy(policy: PolicySettings, service: Service) -> AnyPolicy:
    """Make a policy: basic authentication, one of a plugin, or an imported class that takes settings and service.

    Raises SettingError.
    """
    realm = str(policy.options.get("realm", "Realm"))
    if policy.use == BASIC_POLICY:
        return BasicAuth(policy.name, service.settings.userid_hmac_secret, realm)
    setting = f"multiauth.policy.{policy.name}.use"
    policy_class = service.policy_classes.get(policy.use) or _import_policy_class(setting, policy.use)
    if not callable(policy_class):
        raise SettingError(setting, "the dotted name of a class is expected.")
    with convert_errors(setting, f"{policy.use!r} cannot be set up", policy.options.values()):
        opened: AnyPolicy = policy_class(policy, service)
    return opened


def _import_policy_class(setting: str, dotted: str) -> object:
    """Import a policy class. A plugin of this service need not be included for those in its `__all__`.

    Raises SettingError.
    """
    plugin, _, class_name = dotted.rpartition(".")
    if plugin.startswith(_PLUGIN_FOLDER) and plugin.removeprefix(_PLUGIN_FOLDER) in _BUILT_IN:
        module = load_plugin(plugin)
        if class_name not in getattr(module, "__all__", ()):
            raise SettingError(setting, f"{plugin} has no policy {class_name}, or is not named in includes.")
        return getattr(module, class_name)
    return import_name(setting, dotted)
