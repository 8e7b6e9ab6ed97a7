"""Create an account, or change its password (operations contract, 2.5)."""

import importlib
import re
from typing import Any, Final

import click

from app.errors import Invalid
from app.factory import create_service
from app.service import Service
from scripts.command import FAILED, READONLY, Command, log, settings_of

NO_PLUGIN: Final = 52
ABORTED: Final = 53
VOLATILE: Final = 54

_PLUGIN: Final = "kinto.plugins.accounts"
_NAME: Final = re.compile(r"[a-zA-Z0-9][+.@a-zA-Z0-9_-]*")


@click.command("create-user", cls=Command)
@click.option("-u", "--username", metavar="NAME", help="Name of the account; prompted for if missing.")
@click.option(
    "-p",
    "--password",
    envvar="KINTO_ADMIN_PASSWORD",
    help="Visible to other users of the machine; else read from KINTO_ADMIN_PASSWORD or prompted for.",
)
@click.pass_context
def command(context: click.Context, username: str | None, password: str | None) -> int:
    """Create an account, or change the password of an existing one."""
    settings = settings_of(context)
    if settings.readonly:
        log.error("Cannot create a user with a readonly server.")
        return READONLY
    if _PLUGIN not in settings.includes:
        log.error("Cannot create a user when the accounts plugin is not installed.")
        return NO_PLUGIN
    try:
        name = _name(username)
        secret = password or _password(name)
    except click.Abort:
        click.echo("User creation aborted")
        return ABORTED
    if settings.storage_backend == "memory":
        log.error(
            "Cannot create a user in the memory of this process: no server could use it. "
            "Set storage_backend to sqlite or postgresql."
        )
        return VOLATILE
    service: Service = create_service(settings)
    click.echo(f"Creating user '{name}'")
    accounts: Any = importlib.import_module("blueprints.plugins.accounts")
    try:
        accounts.create_user(service, name, secret)
    except Invalid as error:
        log.error(error.problems[0].message())
        return FAILED
    return 0


def _name(username: str | None) -> str:
    name = _ask("Username: ") if username is None else username
    while not _NAME.fullmatch(name):
        click.echo(f"{name} is not a valid username.")
        click.echo("Username should match ^[a-zA-Z0-9][+.@a-zA-Z0-9_-]*$, please try again.")
        name = _ask("Username: ")
    return name


def _password(name: str) -> str:
    while True:
        password = _ask(f"Please enter a password for {name}: ", hidden=True)
        if password == _ask("Please confirm the password: ", hidden=True):
            return password
        click.echo("Sorry, passwords do not match, please try again.")


def _ask(question: str, *, hidden: bool = False) -> str:
    # An empty answer is accepted here: the caller reports that it is invalid.
    answer: str = click.prompt(question, prompt_suffix="", default="", show_default=False, hide_input=hidden)
    return answer
