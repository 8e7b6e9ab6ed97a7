"""Word the ini file that `kinto init` writes: what a start needs, and every other setting as a comment (2.2).

Kinto 26.5 itself reads such a file: that is the way back.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from app.settings.catalogue import GROUPS
from app.settings.fields import Declaration, declarations
from app.version import VERSION

_POSTGRESQL: Final = "postgresql://postgres:postgres@localhost/postgres"
_SQLITE: Final = "sqlite:///%(here)s/kinto.sqlite"
_STORAGE_URLS: Final = {"memory": "", "postgresql": _POSTGRESQL, "sqlite": _SQLITE}
_CACHE_URLS: Final = {"memory": "", "postgresql": _POSTGRESQL, "redis": "redis://127.0.0.1/0", "memcached": ""}
_SIGN_UP: Final = "kinto.account_create_principals = system.Everyone"
_ADMINISTRATOR: Final = (
    "kinto.account_write_principals = account:admin",
    "kinto.bucket_create_principals = account:admin",
)
_NO_ADMINISTRATOR: Final = (
    "# Nobody creates buckets: there is no administrator.",
    "kinto.bucket_create_principals =",
    "# In the place of the line above, these make the account `admin` administrator. Strangers may sign up, so make",
    "# the account before the service starts: `kinto migrate` does so with the password in KINTO_ADMIN_PASSWORD.",
)
_WANTED: Final = ("default_bucket", "admin", "accounts")
_OFFERED: Final = ("history",)

_LOGGING: Final = """\
#
# Logging
#
[loggers]
keys = root, kinto

[handlers]
keys = console

[formatters]
keys = color, json

[logger_root]
level = INFO
handlers = console

[logger_kinto]
level = DEBUG
handlers = console
qualname = kinto
propagate = 0

[handler_console]
class = kinto.core.StreamHandlerWithRequestID
args = (sys.stderr,)
level = NOTSET
formatter = color

[formatter_color]
class = logging_color_formatter.ColorFormatter

[formatter_json]
class = kinto.core.JsonLogFormatter
"""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator decides, and the secrets made for the file; *administrator* says that there is one."""

    host: str
    backend: str
    cache_backend: str
    userid_secret: str = field(repr=False)
    bucket_secret: str = field(repr=False)
    administrator: bool = False


def render(choices: Choices, now: datetime) -> str:
    """Return the text of the file."""
    active = _active(choices)
    lines = [
        f"# Created at {now:%a, %d %b %Y %H:%M:%S %z}",
        f"# Using Kinto version {VERSION}",
        "",
        "[server:main]",
        "use = egg:waitress#main",
        f"host = {choices.host}",
        "port = %(http_port)s",
        "",
        "[app:main]",
        "use = egg:kinto",
    ]
    for title, group in GROUPS:
        lines += ["", "#", f"# {title}", "#"]
        for _, declaration in declarations(group):
            lines += active.get(declaration.name) or _comment(declaration)
        if title == "Identity":
            # Settings that are patterns are in no group.
            lines += [_SIGN_UP, *_administrator(choices.administrator)]
    return "\n".join([*lines, "", _LOGGING])


def _administrator(exists: bool) -> Iterator[str]:
    """Yield the lines of the administrator, as comments while nobody has made the account."""
    if exists:
        yield from _ADMINISTRATOR
        return
    yield from _NO_ADMINISTRATOR
    yield from (f"# {line}" for line in _ADMINISTRATOR)


def _backend(part: str, name: str) -> str:
    """Return a backend as Kinto spells it; Kinto has no `sqlite`."""
    return name if name == "sqlite" else f"kinto.core.{part}.{name}"


def _active(choices: Choices) -> dict[str, list[str]]:
    """Return the lines that count, by the name of their setting."""
    url = _STORAGE_URLS[choices.backend]
    values = {
        "storage_backend": _backend("storage", choices.backend),
        "storage_url": url,
        "permission_backend": _backend("permission", choices.backend),
        "permission_url": url,
        "cache_backend": f"kinto.core.cache.{choices.cache_backend}",
        "cache_url": _CACHE_URLS[choices.cache_backend],
        "userid_hmac_secret": choices.userid_secret,
        "default_bucket_hmac_secret": choices.bucket_secret,
    }
    if choices.cache_backend == "memcached":
        values["cache_hosts"] = "127.0.0.1:11211"
    lines = {name: [f"kinto.{name} = {value}".rstrip()] for name, value in values.items()}
    lines["multiauth.policies"] = [
        "multiauth.policies = account",
        "multiauth.policy.account.use = kinto.plugins.accounts.AccountsPolicy",
    ]
    lines["includes"] = list(_includes())
    return lines


def _includes() -> Iterator[str]:
    """Yield one plugin a line; one that this version does not have is a comment."""
    there = [name for name in _WANTED if importlib.util.find_spec(f"blueprints.plugins.{name}")]
    absent = [name for name in (*_WANTED, *_OFFERED) if name not in there]
    yield f"kinto.includes = {_plugin(there[0])}" if there else "kinto.includes ="
    yield from (f"                 {_plugin(name)}" for name in there[1:])
    yield from (f"#                {_plugin(name)}" for name in absent)


def _plugin(name: str) -> str:
    return f"kinto.plugins.{name}"


def _comment(declaration: Declaration) -> list[str]:
    prefix = "" if declaration.name.startswith("multiauth.") else "kinto."
    return [f"# {declaration.meaning}", f"# {prefix}{declaration.name} = {shown(declaration)}".rstrip()]


def shown(declaration: Declaration) -> str:
    """Return the default of a setting as a file would say it."""
    default = declaration.default
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return str(default)
