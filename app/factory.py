"""Make an application from its settings. The one module that sees all layers."""

from __future__ import annotations

import importlib
import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from werkzeug.middleware.proxy_fix import ProxyFix

from app.authentication.basicauth import BasicAuth
from app.identity import Policy
from app.listeners import load_listeners
from app.parsing import ids
from app.service import Service
from app.settings import PolicySettings, SettingError, Settings, convert_errors, imported, load
from app.settings.aliases import BASIC_POLICY, CLASSIC, HEKA
from app.settings.sources import DEFAULT_PORT
from backends import Pool
from backends import cache as caches
from backends.cache import Cache
from backends.logs import configuration
from backends.logs.formats import Origin, Renderer
from backends.storage import Storage
from blueprints.batch import batch
from blueprints.core import core, read_version_file
from blueprints.heartbeat import heartbeat
from blueprints.http import register_hooks
from blueprints.openapi import openapi
from blueprints.permissions import permissions
from blueprints.request_bodies import RequestBodies
from blueprints.request_logging import RequestLogging
from blueprints.resources import resources
from blueprints.user_data import user_data

log: Final = logging.getLogger("kinto.factory")

_STORAGES: Final = {"memory": "sqlite", "sqlite": "sqlite", "postgresql": "postgresql"}
_PLUGIN_FOLDER: Final = "kinto.plugins."
_BUILT_IN: Final = ("accounts", "flush", "prometheus", "statsd")


def create_app(settings: Mapping[str, Any] | Settings | None = None) -> Flask:
    """Make an application from settings as `kinto.ini` names them, or from environment and ini file without any.

    May be called many times in a process: two applications share nothing. Raises SettingError.
    """
    loaded = settings if isinstance(settings, Settings) else load(settings)
    open_logs(loaded, by_default=settings is None)
    app = new_flask()
    assemble(app, loaded, lambda: open_storage(loaded, app))
    return app


def assemble(app: Flask, settings: Settings, make_storage: Callable[[], Storage]) -> None:
    """Put an application together, on the storage that *make_storage* returns. Raises SettingError."""
    open_sentry(settings)
    with convert_errors("version_json_path", f"{settings.version_json_path!r} is no file with JSON"):
        read_version_file(settings.version_json_path)
    measuring = open_measuring(settings)
    service = _new_service(settings, make_storage(), measuring.service if measuring else Service)
    if measuring:
        measuring.attach(app, service)
    register_hooks(app, service)
    _extend(app, service)
    for make in (resources, core, heartbeat, permissions, user_data, openapi):
        app.register_blueprint(make(service))
    app.register_blueprint(batch(service, app))
    for check in service.start_checks:
        check()
    for warning in settings.warnings:
        log.warning(warning)
    _wrap(app, settings)
    app.extensions["kinto"] = service
    logging.getLogger("kinto.core").info("Running %s %s.", settings.project_name, settings.project_version)


def create_service(settings: Settings) -> Service:
    """Make all of an application but its URLs, for commands: nothing is measured. Raises SettingError."""
    app = new_flask()
    service = _new_service(settings, open_storage(settings, app), Service)
    _extend(app, service)
    for warning in settings.warnings:
        log.warning(warning)
    return service


def new_flask() -> Flask:
    """Make a Flask application without URLs; an empty segment of a path is not dropped."""
    app = Flask("kinto", static_folder=None)
    app.url_map.merge_slashes = False
    return app


def _extend(app: Flask, service: Service) -> None:
    """Add what settings name: listeners, plugins, policies."""
    for listener in load_listeners(service.settings):
        service.add_listener(listener)
    for name in service.settings.includes:
        attach(name, app, service)
    for policy in service.settings.policies:
        service.add_policy(open_policy(policy, service))
    if service.storage.embedded:
        service.start()


def _wrap(app: Flask, settings: Settings) -> None:
    """Put around the application what stands outside of Flask."""
    # Flask documents `wsgi_app` as the place for what wraps an application; mypy sees a method there.
    if settings.newrelic_config:
        _watch(app, settings.newrelic_config, settings.newrelic_env)
    if settings.profiler_enabled:
        profiling = importlib.import_module("blueprints.profiling")
        with convert_errors("profiler_dir", "no files can be written there"):
            app.wsgi_app = profiling.Profiling(app.wsgi_app, settings.profiler_dir)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0, x_host=0)  # type: ignore[method-assign]
    app.wsgi_app = RequestBodies(RequestLogging(app.wsgi_app))  # type: ignore[method-assign]


_RENDERERS: Final[Mapping[str | None, Renderer]] = {HEKA: "heka", CLASSIC: "classic"}


def open_logs(settings: Settings, by_default: bool) -> None:
    """Set up the log lines of this process, as the ini file says or *by_default*. Raises SettingError.

    A program that gives settings of its own has set up logging itself, unless these say what lines look like.
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
    # Otherwise the line of the start is an event already.
    if settings.sentry_dsn and min([events, *(handler.level for handler in senders)]) > logging.INFO:
        sentry.say(f"Running {running}.")


def _new_service(settings: Settings, storage: Storage, service_class: Callable[..., Service]) -> Service:
    """Make a service on its backends, with what all services have."""
    _load_generator("id_generator", settings.default_id_generator)
    for kind in settings.kinds_with_generators():
        generator(settings, kind)
    service = service_class(settings, storage, open_cache(settings), lambda kind: generator(settings, kind))
    storage = service.storage
    service.add_heartbeat("storage", lambda: alive(storage, not settings.readonly))
    service.add_heartbeat("permission", lambda: alive(storage, False))
    service.add_heartbeat("cache", service.cache.ping)
    for policy in settings.policies:
        if policy.name == "basicauth":
            service.add_capability("basicauth", _BASICAUTH, f"{_READ_THE_DOCS}/stable/api/1.x/authentication.html")
    if settings.experimental_collection_schema_validation:
        url = "https://kinto.readthedocs.io/en/latest/api/1.x/collections.html#collection-json-schema"
        service.add_capability("schema", "Validates collection records with JSON schemas.", url)
    if settings.experimental_permissions_endpoint:
        url = "https://kinto.readthedocs.io/en/latest/configuration/settings.html#activating-the-permissions-endpoint"
        service.add_capability("permissions_endpoint", _PERMISSIONS, url)
    return service


_READ_THE_DOCS: Final = "http://kinto.readthedocs.io/en"
_BASICAUTH: Final = "Very basic authentication sessions. Not for production use."
_PERMISSIONS: Final = "The permissions endpoint can be used to list all user objects permissions."


def alive(storage: Storage, write: bool) -> bool:
    """Say that a storage answers, and with *write* that it can be written to. Raises BackendError."""
    storage.ping(write)
    return True


def open_storage(settings: Settings, app: Flask) -> Storage:
    """Open the chosen storage on engines that Flask-SQLAlchemy makes and keeps."""
    name = _STORAGES.get(settings.storage_backend)
    module = importlib.import_module(f"backends.storage.{name}") if name else _foreign(settings.storage_backend)
    pool = Pool(
        settings.storage_pool_size,
        settings.storage_max_overflow,
        settings.storage_pool_timeout,
        settings.storage_pool_recycle,
        settings.storage_max_backlog,
        echo=settings.storage_echo,
        lock_timeout_seconds=settings.storage_lock_timeout,
    )
    # What a module of somebody else's raises need not be about the URL.
    setting = "storage_url" if name else "storage_backend"
    with convert_errors(setting, "the storage cannot be opened", [settings.storage_url]), app.app_context():
        url = settings.storage_url or module.temporary_url()
        reading, writing = module.engine_options(url, pool)
        app.config["SQLALCHEMY_BINDS"] = {None: writing, "reads": reading}
        database = SQLAlchemy(app)
        storage: Storage = module.open_storage(database.engines["reads"], database.engine)
    return storage


def _foreign(dotted: str) -> Any:
    module = imported("storage_backend", dotted)
    if not hasattr(module, "open_storage"):
        raise SettingError("storage_backend", f"Invalid storage backend: {module!r}")
    return module


def open_cache(settings: Settings) -> Cache:
    """Open the chosen cache."""
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
        return caches.load(
            settings.cache_backend,
            url=settings.cache_url,
            hosts=settings.cache_hosts,
            prefix=settings.cache_prefix,
            max_size_bytes=settings.cache_max_size_bytes,
            pool=pool,
        )


def generator(settings: Settings, kind: str) -> ids.Generator:
    """Return the id generator of a kind. Raises SettingError."""
    return _load_generator(f"{kind}_id_generator", settings.id_generator(kind))


def _load_generator(setting: str, name: str) -> ids.Generator:
    with convert_errors(setting, f"{name!r} cannot be used"):
        return ids.load_generator(name)


def open_measuring(settings: Settings) -> Any:
    """Open what measures: StatsD, and plugins with `open_metrics(settings)`. None where no setting asks for any."""
    modules = [module for module in map(plugin, settings.includes) if hasattr(module, "open_metrics")]
    if not settings.statsd_url and not modules:
        return None
    return importlib.import_module("measuring.requests").open_measuring(settings, modules)


def _watch(app: Flask, config: str, environment: str) -> None:
    """Put New Relic around the application (O-MON-34)."""
    if not Path(config).is_file():
        raise SettingError("newrelic_config", f"there is no file {config!r}.")
    try:
        newrelic = importlib.import_module("backends.metrics.newrelic")
    except ImportError as error:
        raise SettingError("newrelic_config", f"the package newrelic is not installed ({error}).") from error
    with convert_errors("newrelic_config", f"the agent cannot start with the file {config!r}"):
        # Flask documents this attribute as the place for what wraps an application; mypy sees a method there.
        app.wsgi_app = newrelic.watched(app.wsgi_app, config, environment)  # type: ignore[method-assign]


def attach(name: str, app: Flask, service: Service) -> None:
    """Attach a plugin. Raises SettingError."""
    module = plugin(name)
    with convert_errors("includes", f"the plugin {name!r} cannot be attached"):
        module.attach(app, service)


def plugin(name: str) -> Any:
    """Load a plugin: a module with `attach(app, service)`. Raises SettingError."""
    built_in = name.removeprefix(_PLUGIN_FOLDER)
    known = name.startswith(_PLUGIN_FOLDER) and built_in in _BUILT_IN
    if name.startswith(_PLUGIN_FOLDER) and not known:
        raise SettingError("includes", f"the plugin {name!r} is not provided.")
    module: Any = importlib.import_module(f"blueprints.plugins.{built_in}") if known else imported("includes", name)
    if not callable(getattr(module, "attach", None)):
        raise SettingError("includes", f"{name!r} is no plugin of this service: it has no attach(app, service).")
    return module


def open_policy(policy: PolicySettings, service: Service) -> Policy:
    """Make a policy: basic authentication, one that a plugin brings, or a class that takes settings and service."""
    realm = str(policy.options.get("realm", "Realm"))
    if policy.use == BASIC_POLICY:
        return BasicAuth(policy.name, service.settings.userid_hmac_secret, realm)
    setting = f"multiauth.policy.{policy.name}.use"
    made = service.policy_classes.get(policy.use) or imported(setting, policy.use)
    if not callable(made):
        raise SettingError(setting, "the dotted name of a class is expected.")
    with convert_errors(setting, f"{policy.use!r} cannot be set up", policy.options.values()):
        opened: Policy = made(policy, service)
    if not callable(getattr(opened, "identify", None)):
        raise SettingError(setting, f"{policy.use!r} is no policy: it has no identify(...).")
    return opened
