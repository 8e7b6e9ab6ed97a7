"""Measure `kinto migrate` on a database of Kinto with many records, beside `pg_dump | psql` of the same database.

    python -m tests.bench.takeover [RECORDS]

Prints the seconds of both, their ratio, and the greatest memory of the command. Kinto's tables are those of the
published package; the rows are inserted by SQL: records of 300 bytes in collections of 1,000, each with a permission.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.bench.rows import analyze, one, transaction
from tests.bench.servers import Database, postgresql
from tests.support.published_kinto import install_kinto

_RECORDS: Final = 1_000_000
_PER_COLLECTION: Final = 1_000
_ROWS: Final = """
    SET LOCAL session_replication_role = replica;
    INSERT INTO objects (id, parent_id, resource_name, last_modified, data, deleted)
    SELECT 'b' || b, '', 'bucket', from_epoch(1700000000000 + b), '{{}}', false
    FROM generate_series(0, {buckets} - 1) AS b;
    INSERT INTO objects (id, parent_id, resource_name, last_modified, data, deleted)
    SELECT 'c' || c % 10, '/buckets/b' || c / 10, 'collection', from_epoch(1700000000000 + c), '{{}}', false
    FROM generate_series(0, {collections} - 1) AS c;
    INSERT INTO objects (id, parent_id, resource_name, last_modified, data, deleted)
    SELECT md5(r::text)::uuid::text, '/buckets/b' || r / 10000 || '/collections/c' || r / 1000 % 10, 'record',
        from_epoch(1700000000000 + r),
        CASE WHEN r % 20 = 0 THEN '{{"deleted": true}}' ELSE jsonb_build_object('title', 'Title ' || r, 'rank', r % 100,
            'done', r % 2 = 0, 'tags', jsonb_build_array('a' || r % 7, 'b' || r % 11), 'text', repeat(md5(r::text), 6))
        END,
        r % 20 = 0
    FROM generate_series(0, {records} - 1) AS r;
    INSERT INTO access_control_entries (object_id, permission, principal)
    SELECT parent_id || '/records/' || id, 'write', 'basicauth:' || md5(parent_id) || md5(id)
    FROM objects WHERE resource_name = 'record' AND NOT deleted;
    INSERT INTO access_control_entries (object_id, permission, principal)
    SELECT '/buckets/' || id, 'write', 'basicauth:' || md5(id) FROM objects WHERE resource_name = 'bucket'
"""


def measure(records: int) -> None:
    """Fill a database, and print what a takeover and a copy by PostgreSQL cost. Raises CalledProcessError."""
    with postgresql() as database, tempfile.TemporaryDirectory(prefix="kinto-bench-") as folder:
        ini = Path(folder, "kinto.ini")
        ini.write_text(_INI.format(url=database.url))
        _run([str(install_kinto().parent / "kinto"), "migrate", "--ini", str(ini)])
        with transaction(database.url) as cursor:
            collections = -(-records // _PER_COLLECTION)
            cursor.execute(_ROWS.format(buckets=-(-collections // 10), collections=collections, records=records))
        analyze(database.url)
        copied = _copy(database)
        taken_over, memory = _run([f"{sys.prefix}/bin/kinto", "--ini", str(ini), "migrate"])
        print(f"{records} records: takeover {taken_over:.0f} s, pg_dump | psql {copied:.0f} s,", end=" ")
        print(f"ratio {taken_over / copied:.2f}, memory of the command {memory:.0f} MiB")


_INI: Final = """
[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.postgresql
kinto.storage_url = {url}
kinto.permission_backend = kinto.core.permission.postgresql
kinto.permission_url = {url}
kinto.cache_backend = kinto.core.cache.memory
kinto.userid_hmac_secret = measured
multiauth.policies = basicauth
"""


def _copy(database: Database) -> float:
    """Return the seconds of a copy of the database into another one, by the commands of the server's own version."""
    with transaction(database.url) as cursor:
        cursor.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        folder = one(cursor)
    copy = database.url.replace("/postgres?", "/copied?")
    _run([f"{folder}/psql", database.url, "-qc", "CREATE DATABASE copied"])
    pipe = f"'{folder}/pg_dump' '{database.url}' | '{folder}/psql' -q '{copy}'"
    return _run(["bash", "-o", "pipefail", "-c", pipe])[0]


def _run(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and the MiB of its greatest memory. Raises CalledProcessError."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "HOME": "/tmp"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.monotonic() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else _RECORDS)
