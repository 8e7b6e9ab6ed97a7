"""Start gunicorn, uWSGI, Apache and nginx with the files of `deploy/`: only paths, ports and users are put in.

Each is a context manager that gives where it listens. What they write lies in a folder that goes when the block ends.
"""

from __future__ import annotations

import contextlib
import getpass
import http.client
import os
import pathlib
import shutil
import signal
import socket as socket_module
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from tests.deploy.asking import ask
from tests.support.services import ROOT, answers, as_environment, free_port, missing, not_as_root, running, wait_for

DEPLOY = ROOT / "deploy"
_STOP_SECONDS = 5
_BIN = pathlib.Path(sys.executable).parent
VENV = _BIN.parent
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_MODULES = pathlib.Path("/usr/lib/apache2/modules")
# As many as the `[uwsgi]` sections say.
_PROCESSES = 3
_UWSGI_PLUGIN = pathlib.Path(f"/usr/lib/uwsgi/plugins/python{_PYTHON.replace('.', '')}_plugin.so")


def put_in(text: str, values: Mapping[str, str]) -> str:
    """Return *text* with values of this run in the place of its own; each of those must be there."""
    for ours, theirs in values.items():
        assert ours in text, f"{ours!r} stands in the file"
        text = text.replace(ours, theirs)
    return text


def deployed(name: str, values: Mapping[str, str]) -> str:
    """Return the text of a file in `deploy/` with values of this run."""
    return put_in((DEPLOY / name).read_text(encoding="utf-8"), values)


@contextlib.contextmanager
def folder() -> Iterator[pathlib.Path]:
    """Make a folder whose path is short enough for a socket and open to servers that run as somebody else."""
    with tempfile.TemporaryDirectory(prefix="kinto-", ignore_cleanup_errors=True) as temporary:
        path = pathlib.Path(temporary)
        path.chmod(0o777)
        yield path


def write_ini(path: pathlib.Path, settings: Mapping[str, Any], *sections: str) -> None:
    """Write an ini file of the service, with the sections of others after its own."""
    lines = [f"{name} = {value}".replace("%", "%%") for name, value in settings.items()]
    path.write_text("\n".join(["[app:main]", "use = egg:kinto", *lines, "", *sections]), encoding="utf-8")


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of somebody who has activated the virtualenv, without settings but those given."""
    inherited = as_environment({})
    return inherited | {"PATH": f"{_BIN}{os.pathsep}{inherited['PATH']}"} | variables


def serves(url: str) -> bool:
    """Tell whether the service answers at *url*, which ends in `/v1`.

    A connection to a free port may get that port itself, and reads its own request then.
    """
    with contextlib.suppress(OSError, http.client.HTTPException):
        return ask(url, "GET", "/__lbheartbeat__").status == 200
    return False


@contextlib.contextmanager
def gunicorn(
    settings: Mapping[str, Any], workers: int = 2, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the line of the systemd unit, with *variables* for gunicorn; give `host:port` and the master."""
    unit = (DEPLOY / "kinto.service").read_text(encoding="utf-8")
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    address = f"127.0.0.1:{free_port()}"
    values = {"/srv/kinto/.venv": str(VENV), "127.0.0.1:8001": address}
    command = put_in(line.removeprefix("ExecStart="), values).split()
    environ = as_environment(settings) | {"WEB_CONCURRENCY": str(workers), **(variables or {})}
    with running(command, lambda: serves(f"http://{address}/v1"), environ) as process:
        yield address, process


@contextlib.contextmanager
def granian(settings: Mapping[str, Any], *more: str) -> Iterator[str]:
    """Run Granian with one worker of eight threads, as many as one of gunicorn has; give the URL that ends in `/v1`."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--blocking-threads", "8", "--workers-kill-timeout", "1", *more, "wsgi:application"]
    url = f"http://127.0.0.1:{port}/v1"
    with running(command, lambda: serves(url), as_environment(settings)):
        yield url


@contextlib.contextmanager
def granian_unit(
    socket: pathlib.Path, ini: pathlib.Path, log: pathlib.Path, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the line of Granian's systemd unit on *socket*; its standard output goes to *log*. Give the master."""
    unit = (DEPLOY / "granian.service").read_text(encoding="utf-8")
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    values = {"/srv/kinto/.venv": str(VENV), "/run/kinto/granian.sock": str(socket)}
    command = put_in(line.removeprefix("ExecStart="), values).split()
    with (
        log.open("ab") as output,
        subprocess.Popen(command, stdout=output, env=environment(KINTO_INI=str(ini), **variables), cwd=ROOT) as process,
    ):
        try:
            wait_for(lambda: _accepts(socket), process, log)
            yield process
        finally:
            process.terminate()
            process.wait()


def _accepts(path: pathlib.Path) -> bool:
    """Return whether the service answers at a Unix socket."""
    with contextlib.suppress(OSError), socket_module.socket(socket_module.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(b"GET /v1/__lbheartbeat__ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client.recv(65536).startswith(b"HTTP/1.1 200")
    return False


def uwsgi_command(ini: pathlib.Path) -> list[str]:
    """Return the command of the guide.

    Debian's package has Python in a plugin of another name than the section of Kinto's guide says: it is loaded beside.
    """
    if shutil.which("uwsgi") is None or not _UWSGI_PLUGIN.exists():
        missing(f"uWSGI for Python {_PYTHON} (packages uwsgi-core and uwsgi-plugin-python3)")
    return ["uwsgi", "--plugin", "python3", "--ini", str(ini)]


@contextlib.contextmanager
def uwsgi(ini: pathlib.Path, socket: pathlib.Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `uwsgi --ini` as the guide says; give its master once *socket* is there and each worker has the application.

    A worker that is told to stop before would not hear it.
    """
    log = socket.parent / "uwsgi.log"
    command = [*uwsgi_command(ini), "--logto", str(log), *more]

    def ready() -> bool:
        return socket.exists() and log.read_text(errors="replace").count("WSGI app 0") >= _PROCESSES

    with running(command, ready, environment(KINTO_INI=str(ini))) as process:
        try:
            yield process
        finally:
            # SIGTERM reloads it where the section does not say otherwise, and a worker that starts hears nothing.
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            process.kill()


def uwsgi_section(text: str, socket: pathlib.Path, nginx_group: str | None = None) -> str:
    """Return a `[uwsgi]` section with the socket, the user and the groups of this run."""
    user = getpass.getuser()
    group = subprocess.run(["id", "-gn"], capture_output=True, text=True, check=True).stdout.strip()
    values = {"/var/run/uwsgi/kinto.sock": str(socket), "uid = kinto": f"uid = {user}", "gid = kinto": f"gid = {group}"}
    return put_in(text, values).replace("kinto:www-data", f"{user}:{nginx_group or group}")


_APACHE = """
ServerRoot /usr/lib/apache2
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog /dev/stderr
Mutex file:{folder}
WSGISocketPrefix {folder}/wsgi
{includes}
"""
_APACHE_MODULES = ("mpm_event", "authz_core", "alias", "env", "wsgi")


@contextlib.contextmanager
def apache(site: str) -> Iterator[str]:
    """Run Apache with mod_wsgi and the text of a site; give the URL that ends in `/v1`."""
    if shutil.which("apache2") is None or not list(_MODULES.glob(f"mod_wsgi.so-{_PYTHON}")):
        missing(f"Apache with mod_wsgi for Python {_PYTHON} (packages apache2 and libapache2-mod-wsgi-py3)")
    port = free_port()
    with folder() as place:
        modules = [f"LoadModule {name}_module modules/mod_{name}.so" for name in _APACHE_MODULES]
        head = _APACHE.format(port=port, folder=place, includes="\n".join(modules))
        file = place / "apache.conf"
        file.write_text(f"{head}\n{site}", encoding="utf-8")
        command = [*not_as_root(), "apache2", "-f", str(file), "-DFOREGROUND"]
        url = f"http://127.0.0.1:{port}/v1"
        with running(command, lambda: answers(port), as_environment({})):
            yield url


_NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    uwsgi_temp_path {folder}/uwsgi;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


@contextlib.contextmanager
def nginx(name: str, values: Mapping[str, str]) -> Iterator[str]:
    """Run nginx with a file of `deploy/nginx/` and *values* in it; give the URL that ends in `/v1`."""
    if shutil.which("nginx") is None:
        missing("nginx (package nginx)")
    port = free_port()
    here = {"listen      8000;": f"listen 127.0.0.1:{port};", "/etc/nginx/kinto": str(DEPLOY / "nginx")}
    with folder() as place:
        caches = {"/var/cache/nginx/kinto": str(place / "cache")} if "cache" in name else {}
        site = deployed(f"nginx/{name}.conf", here | caches | dict(values))
        user = "user root;" if os.geteuid() == 0 else ""
        file = place / "nginx.conf"
        file.write_text(_NGINX.format(user=user, folder=place, site=site), encoding="utf-8")
        command = ["nginx", "-c", str(file), "-p", str(place), "-e", "stderr"]
        with running(command, lambda: answers(port)):
            yield f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def behind_nginx(name: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the service as a file of `deploy/nginx/` expects it, and nginx before it.

    Give the URL that ends in `/v1`, and the master of gunicorn or uWSGI.
    """
    with folder() as place:
        configuration = {"kinto.storage_url": f"sqlite:///{place}/kinto.sqlite", **settings}
        if "proxy" in name:
            with gunicorn(configuration) as (address, process), nginx(name, {"127.0.0.1:8001": address}) as url:
                yield url, process
            return
        ini, socket = place / "kinto.ini", place / "kinto.sock"
        section = deployed("uwsgi.ini", {"/srv/kinto": str(ROOT), "/etc/kinto/kinto.ini": str(ini)})
        write_ini(ini, configuration, uwsgi_section(section, socket))
        with uwsgi(ini, socket) as process, nginx(name, {"/var/run/uwsgi/kinto.sock": str(socket)}) as url:
            yield url, process
