"""PgBouncer in transaction mode before a PostgreSQL server: it hands each session on after each transaction."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from psycopg2.extensions import make_dsn, parse_dsn

from tests.support.services import answers, free_port, missing, not_as_root, running

_INI: Final = """
[databases]
{name} = {target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
"""


@contextlib.contextmanager
def pooled(url: str, sessions: int) -> Iterator[str]:
    """Run a pooler with a number of sessions until the block ends; give the URL of the same database through it."""
    if shutil.which("pgbouncer") is None:
        missing("PgBouncer (package pgbouncer)")
    parts, port = {"user": "postgres", **parse_dsn(url)}, free_port()
    name, user = parts["dbname"], parts["user"]
    with tempfile.TemporaryDirectory(prefix="kinto-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o777)
        file = Path(folder, "pgbouncer.ini")
        file.write_text(_INI.format(name=name, target=make_dsn(**parts), port=port, sessions=sessions))
        with running([*not_as_root(), "pgbouncer", str(file)], lambda: answers(port), folder=Path(folder)):
            yield f"postgresql://{user}@127.0.0.1:{port}/{name}"
