"""Render the ini file of `kinto init`: the settings for a start, and all others as comments (2.2).

Kinto 26.5 can read this file too, so a return to Kinto is possible.
"""

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
    "# Nobody can create buckets: there is no administrator.",
    "kinto.bucket_create_principals =",
    "# Replace the line above with these lines to make the account `admin` the administrator. Anyone may sign up, so",
    "# create it before the service starts: `kinto migrate` creates it with the password in KINTO_ADMIN_PASSWORD.",
)
_PLUGINS: Final = ("accounts", "default_bucket", "history", "admin")

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
    """The choices of the operator, and the generated secrets; *administrator*: the account `admin` exists."""

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
            # Settings whose name is a pattern are in no group.
            lines += [_SIGN_UP, *_administrator(exists=choices.administrator)]
    return "\n".join([*lines, "", _LOGGING])


def _administrator(*, exists: bool) -> Iterator[str]:
    """Yield the lines of the administrator, as comments if the account does not exist."""
    if exists:
        yield from _ADMINISTRATOR
        return
    yield from _NO_ADMINISTRATOR
    yield from (f"# {line}" for line in _ADMINISTRATOR)


def _backend(part: str, name: str) -> str:
    """Return the name of a backend in Kinto, which has no `sqlite`."""
    return name if name == "sqlite" else f"kinto.core.{part}.{name}"


def _active(choices: Choices) -> dict[str, list[str]]:
    """Return the lines that are not comments, by the name of their setting."""
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
    """Yield one line for each plugin."""
    first, *others = (f"kinto.plugins.{name}" for name in _PLUGINS)
    yield f"kinto.includes = {first}"
    yield from (f"                 {name}" for name in others)


def _comment(declaration: Declaration) -> list[str]:
    prefix = "" if declaration.name.startswith("multiauth.") else "kinto."
    return [f"# {declaration.meaning}", f"# {prefix}{declaration.name} = {default_text(declaration)}".rstrip()]


def default_text(declaration: Declaration) -> str:
    """Return the default of a setting in the syntax of a file."""
    default = declaration.default
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return str(default)
