"""Serve the application of a file by gunicorn (operations contract, 2.3)."""

import logging
import os
import socket
import sys
from pathlib import Path
from typing import Final

import click

from app.settings import SettingError, convert_errors, load
from app.settings.sources import DEFAULT_PORT, read_ini
from scripts.command import FAILED, Command, ini, level, log

_CONFIGURATION: Final = Path(__file__).parents[1] / "gunicorn.conf.py"
_SERVER_SETTINGS: Final = frozenset({"use", "host", "port"})
_BACKLOG: Final = 1024
_QUIET: Final = logging.CRITICAL
_LAST_PORT: Final = 65535


@click.command("start", cls=Command)
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on; the default is PORT, else 8888.")
@click.option("--reload", is_flag=True, help="Restart when code or the ini file change.")
@click.pass_context
def command(context: click.Context, port: int | None, *, reload: bool) -> int:
    """Serve the application."""
    http_port = str(port or os.environ.get("PORT") or DEFAULT_PORT)
    os.environ["PORT"] = http_port
    # Errors of settings are reported here, in one line, and not by each worker.
    path = load(ini=ini(context)).config_path
    host, number = _address(path, http_port)
    _workers()
    try:
        listening = _listen(host, number)
    except OSError as error:
        click.echo(f"Cannot listen on {host}:{number}: {error.strerror}", err=True)
        return FAILED
    quiet = level(context) >= _QUIET
    if not quiet:
        click.echo(f"Starting server in PID {os.getpid()}.")
    url_host = f"[{host}]" if ":" in host else host
    click.echo(f"Serving on http://{url_host}:{listening.getsockname()[1]}")
    sys.stdout.flush()
    if path:
        os.environ["KINTO_INI"] = path
    arguments = _gunicorn(listening, quiet=quiet)
    if reload:
        arguments.append("--reload")
        arguments += ["--reload-extra-file", path] if path else []
    os.execv(sys.executable, arguments)


def _address(path: str | None, http_port: str) -> tuple[str, int]:
    """Return host and port from the file, which may use `%(http_port)s`, else the defaults. Raises SettingError."""
    server = read_ini(path, http_port).server if path else {}
    for name in sorted(server.keys() - _SERVER_SETTINGS):
        log.warning("The setting %s of [server:main] has no effect here.", name)
    port = server.get("port", http_port)
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= _LAST_PORT):
        raise SettingError(
            "port", f"a number from 1 to {_LAST_PORT} is expected in [server:main] or PORT, not {port!r}."
        )
    host = server.get("host", "127.0.0.1")
    with convert_errors("host", f"{host!r} of [server:main] is not the name or address of this machine"):
        socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    return host, int(port)


def _workers() -> str:
    """Return the number of workers: one by default, since memory backends are not shared by processes."""
    number = os.environ.get("WEB_CONCURRENCY") or "1"
    if not (number.isascii() and number.isdecimal() and int(number)):
        raise SettingError("WEB_CONCURRENCY", f"a whole number of 1 or more is expected, not {number!r}.")
    return number


def _listen(host: str, port: int) -> socket.socket:
    """Open the socket in this process, so that a busy port is one line and exit code 1 (O-CLI-13). Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(address)
    listening.listen(_BACKLOG)
    listening.set_inheritable(True)
    return listening


def _gunicorn(listening: socket.socket, *, quiet: bool) -> list[str]:
    """Return the command line of the server, which replaces this process."""
    arguments = [sys.executable, "-m", "gunicorn", "app.factory:create_app()", "--bind", f"fd://{listening.fileno()}"]
    arguments += ["--workers", _workers()]
    arguments += ["--log-level", "critical" if quiet else "warning"]
    if _CONFIGURATION.is_file():
        arguments += ["--config", str(_CONFIGURATION)]
    return arguments
