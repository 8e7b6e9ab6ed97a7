"""PgBouncer in transaction mode hands sessions on after each transaction: nothing of ours is left or missed there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from tests.deploy.servers import folder, not_as_root
from tests.support.client import Client
from tests.support.databases import BASICAUTH, make_app
from tests.support.holding import hold
from tests.support.services import answers, free_port, missing, running

B = "/buckets/b"
LIST = f"{B}/collections/c/records"
_INI = """
[databases]
{name} = {target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
"""


@pytest.fixture
def pooled_url(postgresql_url: str) -> Iterator[str]:
    """Give the URL of the database through a pooler, with fewer sessions than the service has connections.

    By default the transactions of the database are serializable.
    """
    if shutil.which("pgbouncer") is None:
        missing("PgBouncer (package pgbouncer)")
    parts, port = {"user": "postgres", **parse_dsn(postgresql_url)}, free_port()
    name = parts["dbname"]
    with folder() as place, closing(psycopg2.connect(postgresql_url)) as direct, direct.cursor() as cursor:
        direct.autocommit = True
        cursor.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        file = Path(place, "pgbouncer.ini")
        file.write_text(_INI.format(name=name, target=make_dsn(**parts), port=port))
        with running([*not_as_root(), "pgbouncer", str(file)], lambda: answers(port), folder=place):
            yield f"postgresql://{parts['user']}@127.0.0.1:{port}/{name}"
        cursor.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")


@pytest.mark.parametrize("prepare", ["false", "true"])
def test_limits_and_isolation_are_those_of_each_transaction(pooled_url: str, postgresql_url: str, prepare: str) -> None:
    settings = {**BASICAUTH, "kinto.storage_lock_timeout": "2", "kinto.storage_prepare": prepare}
    client = Client(make_app(pooled_url, settings))
    for path in (B, f"{B}/collections/c", f"{LIST}/r"):
        client.put(path)

    with hold(postgresql_url, LIST):
        refused = client.put(f"{LIST}/r")
    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(lambda _: client.put(f"{LIST}/r").status, range(48)))
        read = list(threads.map(lambda _: client.get(f"{LIST}/r").status, range(48)))
    with closing(psycopg2.connect(pooled_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), current_setting('transaction_isolation')")
        left = cursor.fetchone()
    client.app.extensions["kinto"].close()

    assert refused.status == 503
    assert set(written) == {200}
    assert set(read) == {200}
    assert left == ("0", "serializable")
