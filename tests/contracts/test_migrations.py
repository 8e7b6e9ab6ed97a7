"""Test what `migrate` does to databases (operations.md 2.4): to an empty one and to ours of every age."""

import json
import multiprocessing
import pathlib
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import SAWarning
from sqlalchemy.schema import CreateIndex

from backends import Pool
from backends.engines import postgresql_url as with_driver
from backends.storage import sqlite
from backends.storage.migrations import CORE, VERSION, VERSION_TABLE, SchemaError, migrate, sql
from backends.storage.tables import metadata
from tests.support.migrating import engine_of, execute, migrate_and_report, tables_of, version_of, word
from tests.support.services import ROOT

_TOP_LISTS = ["/accounts", "/buckets"]
_WORKERS = 8

_SECOND_STEP = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

def upgrade():
    op.add_column("clocks", sa.Column("second", sa.BigInteger))
"""

_THIRD_STEP = """
from alembic import op

revision = "0003"
down_revision = "0002"

def upgrade():
    op.execute("CREATE TABLE half_done (a bigint)")
    op.execute("SELECT no_such_column FROM clocks")
"""

_CONCURRENT_STEP = """
from alembic import op

revision = "0002"
down_revision = "0001"

def upgrade():
    with op.get_context().autocommit_block():
        op.create_index("clocks_later", "clocks", ["floor"], if_not_exists=True, postgresql_concurrently=True)
"""

# Their imports would take longer than what they do.
multiprocess = multiprocessing.get_context("forkserver")
multiprocess.set_forkserver_preload(["backends.storage.migrations.runner", "pytest", "tests.support.migrating"])


@pytest.fixture
def postgresql(empty_postgresql_url: str) -> Iterator[Engine]:
    """Give an engine of an empty PostgreSQL database whose sessions are in UTC."""
    engine = create_engine(with_driver(empty_postgresql_url), connect_args={"options": "-c timezone=UTC"})
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """Give the URL of an empty database of each dialect."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/kinto.sqlite"
    empty: str = request.getfixturevalue("empty_postgresql_url")
    return empty


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """Give an engine of an empty database of each dialect, its sessions in UTC."""
    engine = engine_of(url)
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", use_utc)
    yield engine
    engine.dispose()


def use_utc(connection: Any, _: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET timezone TO 'UTC'")
    connection.commit()


@pytest.fixture
def later(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Give a function that makes the folder of a later program: our steps, and more after them."""

    def folder_with(*sources: str) -> pathlib.Path:
        folder = tmp_path / "versions"
        folder.mkdir(exist_ok=True)
        for file in CORE.versions.glob("[0-9]*.py"):
            (folder / file.name).write_text(file.read_text())
        for number, source in enumerate(sources, 2):
            (folder / f"{number:04}_later.py").write_text(source)
        return folder

    return folder_with


def _differences(connection: Connection) -> list[Any]:
    """Return in what the tables differ from those of the code.

    SQLAlchemy reads no index of SQLite with an expression: of those the statements are compared. SQLite has a table of
    terms in the place of an index of them.
    """
    other = {"sqlite": ("terms", "documents_by_terms")}.get(connection.dialect.name, ())
    options = {"version_table": VERSION_TABLE, "include_object": lambda _, name, *__: name not in other}
    context = MigrationContext.configure(connection, opts=options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*expression-based index", UserWarning)
        warnings.filterwarnings("ignore", ".*expression-based index", SAWarning)
        differences: list[Any] = compare_metadata(context, metadata)
    if connection.dialect.name == "sqlite":
        made = connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = 'grants_in_order'"))
        [index] = [each for each in metadata.tables["grants"].indexes if each.name == "grants_in_order"]
        expected = str(CreateIndex(index).compile(dialect=connection.dialect))
        assert " ".join(made.split()) == " ".join(expected.split())
    return differences


def test_the_tables_are_those_of_the_code_when_migrated(engine: Engine) -> None:
    migrate_and_report(engine)

    with engine.connect() as connection:
        assert _differences(connection) == []


def test_the_primary_keys_are_those_of_the_code_when_migrated(engine: Engine) -> None:
    migrate_and_report(engine)

    keys = {name: inspect(engine).get_pk_constraint(name)["constrained_columns"] for name in metadata.tables}
    assert keys == {name: [column.name for column in table.primary_key] for name, table in metadata.tables.items()}


def test_text_keys_compare_by_bytes_on_postgresql(postgresql: Engine) -> None:
    migrate_and_report(postgresql)

    with postgresql.connect() as connection:
        collations = connection.scalars(
            text(
                "SELECT DISTINCT collation_name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND data_type = 'text'"
            )
        )
        assert collations.all() == ["C"]


def test_the_lists_at_the_top_have_their_clocks_when_migrated(engine: Engine) -> None:
    """A service that may only read could not make them (O-PG-6)."""
    before = time.time_ns() // 1_000_000
    migrate_and_report(engine)
    after = time.time_ns() // 1_000_000

    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT bucket, list, last_modified, floor, count FROM clocks ORDER BY list")
        ).all()
    assert [(row[0], row[1], row[4]) for row in rows] == [(name, name, 0) for name in _TOP_LISTS]
    assert all(before <= row[2] == row[3] <= after for row in rows)


def test_the_version_is_the_newest_file_of_the_folder(engine: Engine) -> None:
    assert max(file.name[:4] for file in CORE.versions.glob("[0-9]*.py")) == VERSION
    assert version_of(engine) is None

    migrate_and_report(engine)

    assert version_of(engine) == VERSION


def test_migrate_tells_what_it_creates_when_the_database_is_empty(engine: Engine) -> None:
    assert migrate_and_report(engine) == [
        f"Create {word(engine)} storage schema at version 1 from {CORE.versions}.",
        f"Create {word(engine)} permission schema at version 1 from {CORE.versions}.",
        f"Created {word(engine)} storage schema (version 1).",
        f"Created {word(engine)} permission schema (version 1).",
    ]


def test_migrate_tells_that_all_is_current_when_it_runs_again(engine: Engine) -> None:
    migrate_and_report(engine)

    assert migrate_and_report(engine) == [
        f"Detected {word(engine)} storage schema version 1.",
        f"{word(engine)} storage schema is up-to-date.",
        f"Detected {word(engine)} permission schema version 1.",
        f"{word(engine)} permission schema is up-to-date.",
    ]


def test_migrate_tells_each_step_when_the_schema_is_older(engine: Engine, later: Callable[..., pathlib.Path]) -> None:
    migrate_and_report(engine)
    folder = later(_SECOND_STEP)

    lines = migrate_and_report(engine, versions=folder)

    assert lines == [
        f"Detected {word(engine)} storage schema version 1.",
        f"Detected {word(engine)} permission schema version 1.",
        f"Migrate {word(engine)} storage schema from version 1 to 2.",
        f"Execute {word(engine)} storage migration from {folder}/0002_later.py",
        f"Migrate {word(engine)} permission schema from version 1 to 2.",
        f"Execute {word(engine)} permission migration from {folder}/0002_later.py",
        f"{word(engine)} storage schema migration done",
        f"{word(engine)} permission schema migration done",
    ]
    assert version_of(engine) == "0002"


def test_migrate_runs_all_steps_when_the_database_is_empty(engine: Engine, later: Callable[..., pathlib.Path]) -> None:
    lines = migrate_and_report(engine, versions=later(_SECOND_STEP))

    assert lines[-1] == f"Created {word(engine)} permission schema (version 2)."
    assert version_of(engine) == "0002"


def test_a_dry_run_writes_nothing_when_the_database_is_empty(engine: Engine) -> None:
    lines = migrate_and_report(engine, dry_run=True)

    assert [line.split(" from ")[0] for line in lines] == [
        f"Create {word(engine)} storage schema at version 1",
        f"Create {word(engine)} permission schema at version 1",
    ]
    assert tables_of(engine) == set()


def test_a_dry_run_writes_nothing_when_the_schema_is_older(engine: Engine, later: Callable[..., pathlib.Path]) -> None:
    migrate_and_report(engine)

    lines = migrate_and_report(engine, dry_run=True, versions=later(_SECOND_STEP))

    assert f"Migrate {word(engine)} storage schema from version 1 to 2." in lines
    assert lines[-2:] == [
        f"{word(engine)} storage schema migration simulated",
        f"{word(engine)} permission schema migration simulated",
    ]
    assert version_of(engine) == VERSION


def test_the_printed_sql_leaves_nothing_to_migrate_when_run_by_hand(url: str, engine: Engine) -> None:
    """O-PG-36: a dry run can print the SQL, which is enough to make everything."""
    script = sql(engine.dialect.name)
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.executescript(script)
    else:
        with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
            session.autocommit = True
            cursor.execute(script)

    assert migrate_and_report(engine)[1] == f"{word(engine)} storage schema is up-to-date."
    with engine.connect() as connection:
        assert _differences(connection) == []
        assert connection.scalars(text("SELECT list FROM clocks ORDER BY list")).all() == _TOP_LISTS


def test_the_printed_sql_is_empty_of_statements_when_the_schema_is_current() -> None:
    assert "CREATE" not in sql("postgresql", since=VERSION)


def migrate_at_once(url: str, ready: Any, lines: Any) -> None:
    engine = engine_of(url)
    reported: list[str] = []
    ready.wait(60)
    migrate(engine, reported.append, dry_run=False)
    engine.dispose()
    lines.put(reported)


def open_at_once(url: str, ready: Any, lines: Any) -> None:
    _, options = sqlite.engine_options(url, Pool())
    ready.wait(60)
    storage = sqlite.open_storage(create_engine(**options), create_engine(**options))
    storage.close()
    lines.put([])


def run_at_once(target: Callable[..., None], url: str) -> list[list[str]]:
    """Run *target* in many processes that start together; return what each of them reported."""
    ready, lines = multiprocess.Barrier(_WORKERS), multiprocess.Queue()
    workers = [multiprocess.Process(target=target, args=(url, ready, lines)) for _ in range(_WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
    assert [worker.exitcode for worker in workers] == [0] * _WORKERS
    return [lines.get(timeout=10) for _ in workers]


def test_one_of_many_processes_creates_the_tables_when_all_start_at_once(url: str, engine: Engine) -> None:
    reported = run_at_once(migrate_at_once, url)

    created = [lines for lines in reported if lines[-1].startswith("Created")]
    current = [lines for lines in reported if lines[-1].endswith("is up-to-date.")]
    assert (len(created), len(current)) == (1, _WORKERS - 1)
    with engine.connect() as connection:
        assert connection.scalar(text(f"SELECT count(*) FROM {VERSION_TABLE}")) == 1


def test_many_workers_open_an_embedded_database_when_it_is_not_there_yet(tmp_path: pathlib.Path) -> None:
    """Several workers start at once on a SQLite file, each making and migrating it if it is the first."""
    url = f"sqlite:///{tmp_path}/new/kinto.sqlite"

    run_at_once(open_at_once, url)

    assert version_of(create_engine(url)) == VERSION


def test_a_step_that_fails_leaves_the_steps_before_it_and_nothing_of_itself(
    engine: Engine, later: Callable[..., pathlib.Path]
) -> None:
    """One transaction a step (operations.md 2.4)."""
    folder = later(_SECOND_STEP, _THIRD_STEP)

    with pytest.raises(SchemaError, match=r"(?s)0003_later\.py of storage failed .*no_such_column"):
        migrate_and_report(engine, versions=folder)

    assert version_of(engine) == "0002"
    assert "half_done" not in tables_of(engine)


def test_a_later_step_can_build_an_index_beside_writers(postgresql: Engine, later: Callable[..., pathlib.Path]) -> None:
    migrate_and_report(postgresql)

    migrate_and_report(postgresql, versions=later(_CONCURRENT_STEP))

    assert "clocks_later" in {index["name"] for index in inspect(postgresql).get_indexes("clocks")}
    assert version_of(postgresql) == "0002"


def test_a_newer_schema_is_refused_naming_both_versions(engine: Engine, later: Callable[..., pathlib.Path]) -> None:
    migrate_and_report(engine, versions=later(_SECOND_STEP))
    lines: list[str] = []

    with pytest.raises(SchemaError, match=r"has version 2, which is newer than version 1 of this program"):
        migrate(engine, lines.append, dry_run=False)

    assert lines[0] == f"Detected {word(engine)} storage schema version 2."
    assert version_of(engine) == "0002"


def test_tables_of_our_names_are_refused_when_they_are_not_ours(engine: Engine) -> None:
    execute(engine, "CREATE TABLE members (name text)", "CREATE TABLE clocks (name text)")

    with pytest.raises(SchemaError, match="tables named clocks, members that are not ours"):
        migrate_and_report(engine)

    assert tables_of(engine) == {"members", "clocks"}


@pytest.mark.usefixtures("url")
def test_a_current_schema_costs_two_statements_and_no_alembic(engine: Engine) -> None:
    """Each worker asks at its start; Alembic takes a third of a second to import."""
    migrate_and_report(engine)
    program = (
        "import json, sys; from sqlalchemy import create_engine, event;"
        "from backends.storage.migrations import migrate;"
        "engine = create_engine(sys.argv[1]); ran = [];"
        "event.listen(engine, 'before_cursor_execute', lambda *call: ran.append(call[2]));"
        "engine.connect().close(); ran.clear(); migrate(engine, lambda line: None, dry_run=False);"
        "print(json.dumps({'statements': len(ran), 'alembic': 'alembic' in sys.modules}))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, engine.url.render_as_string(hide_password=False)],
        capture_output=True,
        check=True,
        cwd=ROOT,
    )

    assert json.loads(answer.stdout) == {"statements": 2, "alembic": False}


def test_a_role_that_may_only_read_and_write_finds_the_schema_current(postgresql: Engine) -> None:
    """O-PG-5: one role owns and migrates, another one serves."""
    migrate_and_report(postgresql)
    execute(
        postgresql,
        "DROP ROLE IF EXISTS kinto_test_server",
        "CREATE ROLE kinto_test_server",
        "GRANT USAGE ON SCHEMA public TO kinto_test_server",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO kinto_test_server",
    )
    serving = create_engine(postgresql.url, connect_args={"options": "-c timezone=UTC -c role=kinto_test_server"})

    lines = migrate_and_report(serving)
    serving.dispose()
    execute(postgresql, "DROP OWNED BY kinto_test_server", "DROP ROLE kinto_test_server")

    assert lines[-1] == "PostgreSQL permission schema is up-to-date."
