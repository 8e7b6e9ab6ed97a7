"""Test which databases `migrate` refuses or warns of: Kinto's, foreign, oddly set up (operations.md 3.2, 3.5)."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine

from backends.engines import postgresql_url as with_driver
from backends.storage.migrations import VERSION, VERSION_TABLE, SchemaError
from tests.support.migrating import execute, migrate_and_report, tables_of, version_of


@pytest.fixture
def postgresql(empty_postgresql_url: str) -> Iterator[Engine]:
    """Give an engine of an empty PostgreSQL database whose sessions are in UTC."""
    engine = create_engine(with_driver(empty_postgresql_url), connect_args={"options": "-c timezone=UTC"})
    yield engine
    engine.dispose()


def make_kinto(engine: Engine, versions: dict[str, str], table: str = "objects", others: tuple[str, ...] = ()) -> None:
    """Make as much of Kinto's tables as tells that they are Kinto's (operations.md 3.2)."""
    execute(
        engine,
        f"CREATE TABLE {table} (id text)",
        "CREATE TABLE metadata (name varchar(128) NOT NULL, value varchar(512) NOT NULL)",
        *(f"CREATE TABLE {name} (user_id text)" for name in others),
        *(f"INSERT INTO metadata VALUES ('{name}', '{value}')" for name, value in versions.items()),
    )


_PERMISSION_2 = {"permission_schema_version": "2"}
_AGAIN = 'Run "kinto migrate" of Kinto 26.5 first.'


@pytest.mark.parametrize("dry_run", [False, True], ids=["in earnest", "in a dry run"])
@pytest.mark.parametrize(
    ("versions", "table", "others", "message"),
    [
        pytest.param(
            {"storage_schema_version": "26"} | _PERMISSION_2,
            "objects",
            (),
            'The database has the data of Kinto, which this service has not. Run "kinto migrate" first.',
            id="Kinto 26.5, where a caller wants tables without its data",
        ),
        pytest.param(
            {"storage_schema_version": "22"} | _PERMISSION_2,
            "objects",
            (),
            f"This is a Kinto database of schema 22. {_AGAIN}",
            id="an older Kinto",
        ),
        pytest.param(
            {"created_at": "2015"},
            "records",
            (),
            f"This is a Kinto database of schema 1. {_AGAIN}",
            id="the first Kinto",
        ),
        pytest.param(
            {},
            "records",
            (),
            f"This is a Kinto database of schema 20. {_AGAIN}",
            id="an old Kinto that kept no history of its schema",
        ),
        pytest.param(
            {"storage_schema_version": "26"},
            "objects",
            ("user_principals",),
            f"This is a Kinto database of schema 26 with permission schema 1. {_AGAIN}",
            id="a Kinto with older permissions",
        ),
        pytest.param(
            {"storage_schema_version": "27"} | _PERMISSION_2,
            "objects",
            (),
            "This is a Kinto database of schema 27 with permission schema 2, newer than the versions 26 and 2",
            id="a newer Kinto",
        ),
        pytest.param(
            {"storage_schema_version": "new"},
            "objects",
            (),
            "The table metadata has a schema version that is no number: new",
            id="something like Kinto",
        ),
    ],
)
def test_a_kinto_database_is_refused_untouched_when_it_is(
    postgresql: Engine, versions: dict[str, str], table: str, others: tuple[str, ...], message: str, dry_run: bool
) -> None:
    """O-PG-14, O-PG-18: its version is found as Kinto finds it, and nothing is written."""
    make_kinto(postgresql, versions, table, others)
    before = tables_of(postgresql)

    with pytest.raises(SchemaError) as refusal:
        migrate_and_report(postgresql, dry_run)

    assert str(refusal.value).startswith(message)
    assert tables_of(postgresql) == before


def test_the_highest_version_counts_when_kinto_was_upgraded(postgresql: Engine) -> None:
    make_kinto(postgresql, {"storage_schema_version": "9"})
    execute(postgresql, "INSERT INTO metadata VALUES ('storage_schema_version', '11')")

    with pytest.raises(SchemaError, match="schema 11"):
        migrate_and_report(postgresql)


@pytest.mark.parametrize(
    "metadata_table",
    [(), ("CREATE TABLE metadata (other text)",)],
    ids=["without a table metadata", "with another program's metadata"],
)
def test_a_table_objects_is_refused_untouched_when_nothing_tells_whose_it_is(
    postgresql: Engine, metadata_table: tuple[str, ...]
) -> None:
    execute(postgresql, "CREATE TABLE objects (id text)", *metadata_table)

    with pytest.raises(
        SchemaError, match="a table objects but no table metadata with the version of Kinto that made it"
    ):
        migrate_and_report(postgresql)

    assert VERSION_TABLE not in tables_of(postgresql)


def test_kintos_cache_alone_is_no_kinto_database(postgresql: Engine) -> None:
    execute(postgresql, "CREATE TABLE cache (key varchar(256), value text, ttl timestamp)")

    assert migrate_and_report(postgresql)[-1].startswith("Created")


def test_our_tables_beside_kintos_are_current_when_they_are(postgresql: Engine) -> None:
    """After a takeover both stand in one database (operations.md 3.10)."""
    migrate_and_report(postgresql)
    make_kinto(postgresql, {"storage_schema_version": "26"} | _PERMISSION_2)

    assert migrate_and_report(postgresql)[-1].endswith("is up-to-date.")


def test_a_database_that_is_not_utf_8_is_refused(postgresql: Engine) -> None:
    """O-PG-7."""
    admin = create_engine(postgresql.url, isolation_level="AUTOCOMMIT")
    name = f"{postgresql.url.database}_latin"
    execute(admin, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    latin = create_engine(postgresql.url.set(database=name))
    try:
        with pytest.raises(SchemaError, match=r"^Unexpected database encoding latin1$"):
            migrate_and_report(latin)
        assert tables_of(latin) == set()
    finally:
        latin.dispose()
        execute(admin, f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


@pytest.mark.parametrize("zone", ["Europe/Paris", "Etc/UTC"])
def test_migrate_warns_when_the_session_is_not_in_utc(postgresql: Engine, zone: str) -> None:
    elsewhere = create_engine(postgresql.url, connect_args={"options": f"-c timezone={zone}"})

    lines = migrate_and_report(elsewhere)
    elsewhere.dispose()

    assert lines[0] == f"Database timezone is not UTC ({zone.upper()})"
    assert version_of(postgresql) == VERSION
