"""A deployment of the service for one trial: a database of its own, the cache that it needs, gunicorn."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.faults import servers
from tests.faults.servers import Cache, Postgresql, Web
from tests.support.services import ROOT, as_environment

_SMALL_MEGABYTES: Final = 64
_SETTINGS: Final[Mapping[str, Any]] = {
    "kinto.includes": "kinto.plugins.accounts",
    "multiauth.policies": "account",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.bucket_create_principals": "system.Authenticated",
    "kinto.account_bcrypt_rounds": 4,
    "kinto.userid_hmac_secret": "secret",
    "kinto.storage_prepare": os.environ.get("KINTO_TEST_PREPARE") != "0",
}


class Needs(NamedTuple):
    """What a fault needs beside a database and the service."""

    cache: str = ""
    standby: bool = False
    small_disk: bool = False
    clock: bool = False
    settings: Mapping[str, Any] = {}


NOTHING: Final = Needs()


@dataclass
class Deployment:
    """The servers of a trial. `clock` is the file with the offset of their time, `disk` a small file system."""

    database: str
    folder: Path
    needs: Needs
    clock: Path
    url: str = ""
    disk: Path | None = None
    _postgresql: Postgresql | None = None
    _standby: Postgresql | None = None
    _cache: Cache | None = None
    _web: Web | None = None

    @property
    def postgresql(self) -> Postgresql:
        """Return the PostgreSQL."""
        assert self._postgresql is not None, "a fault of PostgreSQL is tried on PostgreSQL"
        return self._postgresql

    @property
    def standby(self) -> Postgresql:
        """Return the standby."""
        assert self._standby is not None, "the fault needs a standby"
        return self._standby

    @property
    def cache(self) -> Cache:
        """Return the server of the cache."""
        assert self._cache is not None, "the fault needs a cache"
        return self._cache

    @property
    def web(self) -> Web:
        """Return the service."""
        assert self._web is not None, "the service runs during a trial"
        return self._web

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of the service."""
        cache = self.needs.cache
        places = {
            "redis": {"kinto.cache_url": f"redis://127.0.0.1:{self._cache.port}/0"} if self._cache else {},
            "memcached": {"kinto.cache_hosts": f"127.0.0.1:{self._cache.port}"} if self._cache else {},
            "postgresql": {"kinto.cache_url": self.url},
        }
        chosen = {"kinto.cache_backend": cache, **places[cache]} if cache else {}
        return {**_SETTINGS, "kinto.storage_url": self.url, **chosen, **self.needs.settings}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a `kinto` command."""
        command = [sys.executable, "-m", "scripts", *words]
        return subprocess.run(command, env=as_environment(self.settings), cwd=ROOT, capture_output=True, text=True)

    def set_clock(self, offset_seconds: int) -> None:
        """Change the time of all servers."""
        self.clock.write_text(f"{offset_seconds:+d}")


@contextlib.contextmanager
def deploy(database: str, folder: Path, needs: Needs) -> Iterator[Deployment]:
    """Start everything in *folder*, and end it when the block ends."""
    folder.chmod(0o755)
    deployment = Deployment(database, folder, needs, folder / "clock")
    deployment.set_clock(0)
    with contextlib.ExitStack() as stack:
        if needs.small_disk:
            deployment.disk = stack.enter_context(servers.small_disk(folder / "disk", _SMALL_MEGABYTES))
        if database == "postgresql":
            _start_postgresql(deployment, stack)
        else:
            deployment.url = f"sqlite:///{deployment.disk or folder}/kinto.sqlite"
        if needs.cache in ("redis", "memcached"):
            deployment._cache = stack.enter_context(servers.cache(needs.cache, folder))
        if database == "postgresql":
            deployment.run("migrate")
        deployment._web = stack.enter_context(
            servers.web(folder, deployment.settings, deployment.clock if needs.clock else None)
        )
        yield deployment


def _start_postgresql(deployment: Deployment, stack: contextlib.ExitStack) -> None:
    folder = deployment.folder
    environment = servers.clock_environment(deployment.clock) if deployment.needs.clock else None
    server = stack.enter_context(servers.postgresql(folder / "postgresql", environment))
    deployment._postgresql = server
    place = ""
    if deployment.disk is not None:
        tablespace = deployment.disk / "tablespace"
        tablespace.mkdir()
        if server.user:
            servers.give(tablespace, server.user)
        server.execute(f"CREATE TABLESPACE small LOCATION '{tablespace}'")
        place = " TABLESPACE small"
    server.execute(f"CREATE DATABASE kinto TEMPLATE template0{place}")
    deployment.url = server.url()
    if deployment.needs.standby:
        deployment._standby = stack.enter_context(servers.standby(folder / "standby", server))
        hosts = f"host=127.0.0.1:{server.port}&host=127.0.0.1:{deployment._standby.port}"
        deployment.url = f"postgresql://postgres@/kinto?{hosts}&target_session_attrs=read-write&connect_timeout=2"
