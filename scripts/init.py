"""Write a first ini file (operations contract, 2.2)."""

import importlib
import importlib.util
import os
import secrets
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from app.errors import Invalid
from app.factory import create_service
from app.service import Service
from app.settings import Settings, load
from app.settings.sources import DEFAULT_FILE
from backends import BackendError
from scripts.command import FAILED, Command, ini, log
from scripts.ini_file import Choices, render
from scripts.migrate import migrate_all

_BACKENDS: Final = {"": "memory", "1": "postgresql"}
_CACHES: Final = {"": "memory", "1": "postgresql", "2": "memcached", "3": "redis"}
_DRIVERS: Final = {"postgresql": "psycopg2", "memcached": "pymemcache", "redis": "redis"}
_WHICH_BACKEND: Final = "Select the backend you would like to use: (1 - postgresql, default - memory) "
_WHICH_CACHE: Final = (
    "Select the cache backend you would like to use: (1 - postgresql, 2 - memcached, 3 - redis, default - memory) "
)


@click.command("init", cls=Command)
@click.option("--backend", type=click.Choice([*_BACKENDS.values(), "sqlite"]), help="Storage of the data.")
@click.option("--cache-backend", type=click.Choice(list(_CACHES.values())), help="Cache for logins.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.pass_context
def command(context: click.Context, backend: str | None, cache_backend: str | None, host: str) -> int:
    """Write an ini file with new secrets; an existing file is not changed.

    If KINTO_ADMIN_PASSWORD is set, create the account `admin` too, and name it as the administrator.
    """
    path = Path(ini(context) or os.environ.get("KINTO_INI") or DEFAULT_FILE).absolute()
    if path.exists():
        click.echo(f"{path} already exists.", err=True)
        return FAILED
    backend = backend or _ask(_WHICH_BACKEND, _BACKENDS)
    cache_backend = cache_backend or _ask(_WHICH_CACHE, _CACHES)
    choices = Choices(host, backend, cache_backend, secrets.token_hex(32), secrets.token_hex(32))
    now = datetime.now().astimezone()
    _write(path, render(choices, now))
    log.info("Created config %s", path)
    for driver in {_DRIVERS[name] for name in (backend, cache_backend) if name in _DRIVERS}:
        if importlib.util.find_spec(driver) is None:
            log.warning("The package %s is missing: pip install %s", driver, driver)
    return _create_administrator(load(ini=str(path)), path, render(replace(choices, administrator=True), now))


def _create_administrator(settings: Settings, path: Path, content: str) -> int:
    """Create the account `admin` with the password in KINTO_ADMIN_PASSWORD, then write the file that names it."""
    password = str(settings.get("admin_password", ""))
    if not password:
        log.info("No administrator was created: KINTO_ADMIN_PASSWORD is not set. See the comments in %s.", path)
        return 0
    if settings.storage_backend == "memory":
        log.warning("No administrator was created: accounts in memory are lost at each start.")
        return 0
    accounts: Any = importlib.import_module("blueprints.plugins.accounts")
    try:
        service: Service = create_service(settings)
        migrate_all(service)
        accounts.create_user(service, "admin", password)
    except BackendError as error:
        log.error("No administrator was created, and the file names none: %s", error)
        return FAILED
    except Invalid as error:
        log.error("No administrator was created, and the file names none: %s", error.problems[0].message())
        return FAILED
    path.write_text(content, encoding="utf-8")
    log.info("Created the administrator 'admin'.")
    return 0


def _ask(question: str, answers: dict[str, str]) -> str:
    while True:
        answer = click.prompt(question, prompt_suffix="", default="", show_default=False).strip()
        if answer in answers:
            return answers[answer]


def _write(path: Path, content: str) -> None:
    """Write a new file that only its owner can read, since it contains secrets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
