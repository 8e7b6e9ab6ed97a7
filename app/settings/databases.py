"""Choose the database and the cache from backends, URLs and Heroku's variables (operations contract, 1.1)."""

import os.path
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from app.settings import aliases
from app.settings.sources import ABSENT, Sources
from app.settings.values import SettingError, read, text

_DRIVER = "postgresql+psycopg2"
_SCHEMES = {"sqlite": "sqlite", "postgres": "postgresql", "postgresql": "postgresql", _DRIVER: "postgresql"}
_EXAMPLES = {"sqlite": "sqlite:///file", "postgresql": "postgresql://user:password@host/database"}
_REDIS_SCHEMES = ("redis", "rediss", "unix")
_REDIS_POOL = {"cache_pool_size": 50, "cache_pool_timeout": 20.0}


def locate_databases(sources: Sources) -> dict[str, object]:
    """Return the values of the settings that locate the databases and the cache. Raises SettingError."""
    backend, url = _locate_storage(sources)
    _expect_same_database(sources, backend, url)
    return {
        "storage_backend": backend,
        "storage_url": url,
        "permission_backend": backend,
        "permission_url": url,
        **_locate_cache(sources),
    }


def database_url(url: str) -> str:
    """Return *url* with the installed driver, which `postgres://` and `postgresql://` do not name (O-SET-12)."""
    scheme, separator, address = url.partition("://")
    return f"{_DRIVER}{separator}{address}" if _SCHEMES.get(scheme) == "postgresql" else url


def locate_storage(name: str, url: str) -> tuple[str, str]:
    """Return the backend and the URL, with its driver, of a storage; *name* is the option that has the URL.

    Raises SettingError.
    """
    backend = _backend_of(name, url)
    _expect_server(name, url, _EXAMPLES[backend])
    return backend, database_url(url)


def is_same_database(one: str, other: str) -> bool:
    """Return whether two URLs name the same database, whatever their users and passwords are."""
    return _identity_of(database_url(one)) == _identity_of(database_url(other))


def _locate_storage(sources: Sources) -> tuple[str, str]:
    raw = sources.find("storage_backend")
    url = _text(sources, "storage_url")
    heroku = sources.environ.get("DATABASE_URL", "")
    if raw is ABSENT:
        url = url or heroku
        backend = _backend_of("storage_url", url) if url else "memory"
    else:
        backend = aliases.storage_name("storage", raw)
        url = url or (heroku if backend == "postgresql" else "")
    if backend == "memory":
        return backend, ""
    if backend in _EXAMPLES and (not url or _backend_of("storage_url", url) != backend):
        raise SettingError("storage_url", f"an address like {_EXAMPLES[backend]} is expected.")
    if backend in _EXAMPLES:
        _expect_server("storage_url", url, _EXAMPLES[backend])
    return backend, database_url(url)


def _expect_same_database(sources: Sources, backend: str, url: str) -> None:
    """Raise SettingError if permissions are in another database: both are written in one transaction."""
    raw = sources.find("permission_backend")
    if raw is not ABSENT and aliases.storage_name("permission", raw) != backend:
        raise SettingError("permission_backend", f"the same as storage_backend ({backend}) is expected.")
    other = _text(sources, "permission_url")
    if other and url and _identity_of(database_url(other)) != _identity_of(url):
        raise SettingError("permission_url", "the same database as in storage_url is expected.")


def _locate_cache(sources: Sources) -> dict[str, object]:
    raw = sources.find("cache_backend")
    url = _text(sources, "cache_url")
    redis_url = sources.environ.get("REDIS_URL", "")
    backend = aliases.cache_name(raw if raw is not ABSENT else "redis" if redis_url else "memory")
    if backend == "redis":
        pool = {name: value for name, value in _REDIS_POOL.items() if sources.find(name) is ABSENT}
        if url or redis_url:
            expect_redis("cache_url", url or redis_url)
        return {"cache_backend": backend, "cache_url": url or redis_url, **pool}
    if backend == "postgresql":
        url = database_url(url or sources.environ.get("DATABASE_URL", ""))
        if not url.startswith(_DRIVER):
            raise SettingError("cache_url", f"an address like {_EXAMPLES[backend]} is expected.")
        _expect_server("cache_url", url, _EXAMPLES[backend])
    return {"cache_backend": backend, "cache_url": url}


def _text(sources: Sources, name: str) -> str:
    raw = sources.find(name)
    return "" if raw is ABSENT else read(name, text, raw).strip()


def _backend_of(setting: str, url: str) -> str:
    backend = _SCHEMES.get(url.partition("://")[0])
    path = url.partition("://")[2].partition("?")[0]
    if backend is None or (backend == "sqlite" and path.strip("/") in ("", ":memory:")):
        raise SettingError(setting, f"an address like {_EXAMPLES['postgresql']} or {_EXAMPLES['sqlite']} is expected.")
    return backend


def _expect_server(setting: str, url: str, example: str) -> None:
    """Raise SettingError if host or port of a URL are invalid; the message omits the URL, which may have a password."""
    try:
        parts = urlsplit(url)
        possible = parts.port != 0
    except ValueError:
        possible = False
    if not possible or "\0" in url:
        raise SettingError(setting, f"an address like {example} is expected: host or port are invalid.")


def expect_redis(setting: str, url: str) -> None:
    """Raise SettingError for a URL that the client would misread as another server, or as the database 0."""
    example = "redis://user:password@host:6379/1"
    parts = url.partition("://")
    if parts[0] not in _REDIS_SCHEMES:
        raise SettingError(setting, f"an address like {example} is expected.")
    _expect_server(setting, url, example)
    split = urlsplit(url)
    databases = parse_qs(split.query, keep_blank_values=True).get("db", [])
    if parts[0] != "unix":
        databases += filter(None, [split.path.strip("/")])
    if not all(database.isascii() and database.isdecimal() for database in databases):
        raise SettingError(setting, f"an address like {example} is expected: a database of Redis is a number.")


def _identity_of(url: str) -> tuple[object, ...]:
    """Return the parts of a URL that identify the database, without user and password."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return parts.scheme, os.path.realpath(parts.path.removeprefix("/"))
    options: Mapping[str, list[str]] = parse_qs(parts.query)
    return parts.scheme, parts.hostname or options.get("host"), parts.port or 5432, parts.path
