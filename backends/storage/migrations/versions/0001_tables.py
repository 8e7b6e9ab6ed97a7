"""Create the first tables, and the clocks of the lists at the top.

The columns are written out here, since `backends.storage.tables` changes and this step must not. On SQLite tables of
short rows are stored in their primary keys (WITHOUT ROWID): a lookup has one tree less to search, a write to log.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

_TOP_LISTS = ("/accounts", "/buckets")
_KEYS = ("k1", "k2", "k3", "k4")

_RANGE = "BETWEEN 0 AND 253402300799999"
_INTERVAL = f"since {_RANGE} AND (until = 9223372036854775807 OR until {_RANGE})"

# SQLite has no index of the elements of an array: triggers keep one in a table. They cost nothing where a document has
# no terms, or the same as before.
_FORGET = (
    "DELETE FROM terms WHERE bucket = OLD.bucket AND uri = OLD.uri AND term IN (SELECT value FROM json_each(OLD.terms))"
)
_NOTE = "INSERT INTO terms SELECT NEW.bucket, value, NEW.uri FROM json_each(NEW.terms)"
_TERMS_OF_SQLITE = (
    "CREATE TABLE terms (bucket TEXT NOT NULL, term INTEGER NOT NULL, uri TEXT NOT NULL,"
    " PRIMARY KEY (bucket, term, uri)) WITHOUT ROWID",
    f"CREATE TRIGGER terms_begin AFTER INSERT ON documents WHEN NEW.terms IS NOT NULL BEGIN {_NOTE}; END",
    "CREATE TRIGGER terms_change AFTER UPDATE OF terms ON documents WHEN OLD.terms IS NOT NEW.terms"
    f" BEGIN {_FORGET}; {_NOTE}; END",
    f"CREATE TRIGGER terms_end AFTER DELETE ON documents WHEN OLD.terms IS NOT NULL BEGIN {_FORGET}; END",
)


def upgrade() -> None:
    """Create tables and clocks."""
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    json = sa.Text().with_variant(JSONB(), "postgresql")
    on_postgresql = op.get_context().dialect.name == "postgresql"

    op.create_table(
        "documents",
        sa.Column("bucket", key, primary_key=not on_postgresql, nullable=False),
        sa.Column("uri", key, primary_key=not on_postgresql, nullable=False),
        sa.Column("list", key, nullable=False),
        sa.Column("born", sa.BigInteger, nullable=False),
        sa.Column("last_modified", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("data", json, nullable=False),
        *(sa.Column(name, sa.LargeBinary) for name in _KEYS),
        sa.Column("terms", sa.Text().with_variant(sa.ARRAY(sa.BigInteger), "postgresql")),
        sa.CheckConstraint(f"born {_RANGE} AND last_modified {_RANGE}", "documents_range"),
    )
    op.create_index("documents_in_list", "documents", ["bucket", "list", "deleted", "last_modified", "uri"])

    for name in _KEYS:
        has_key = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"documents_by_{name}", "documents", ["bucket", name], postgresql_where=has_key, sqlite_where=has_key
        )

    if on_postgresql:
        op.create_index(
            "documents_by_terms",
            "documents",
            ["terms"],
            postgresql_using="gin",
            postgresql_where=sa.text("terms IS NOT NULL"),
            postgresql_with={"fastupdate": "off"},
        )
        # After the other indexes: as long as the table is empty, the planner expects an index that passes over all
        # objects of a bucket to cost as much, and takes the newest one. A connection keeps such a plan.
        op.create_primary_key("documents_pkey", "documents", ["bucket", "uri"])
    else:
        for statement in _TERMS_OF_SQLITE:
            op.execute(statement)

    op.create_table(
        "indexes",
        sa.Column("bucket", key, primary_key=True),
        sa.Column("list", key, primary_key=True),
        sa.Column("slot", sa.SmallInteger, primary_key=True),
        sa.Column("prefix", key, nullable=False),
        sa.Column("definition", key, nullable=False),
        sa.Column("origin", key, nullable=False),
        sa.Column("state", key, nullable=False),
        sa.Column("done", key, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.CheckConstraint(f"slot BETWEEN 1 AND 8 AND since {_RANGE}", "indexes_range"),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "grants",
        sa.Column("bucket", key, primary_key=True),
        sa.Column("uri", key, primary_key=True),
        sa.Column("list", key, nullable=False),
        sa.Column("permission", key, primary_key=True),
        sa.Column("principal", key, primary_key=True),
        sa.Column("since", sa.BigInteger, primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.CheckConstraint(_INTERVAL, "grants_range"),
        sqlite_with_rowid=False,
    )
    op.create_index("grants_of_principal", "grants", ["principal", "list", "until", "uri", "bucket"])
    kind = sa.text("substr(list, length(rtrim(list, replace(list, '/', ''))) + 1)")
    living = sa.text("-until = -9223372036854775807")
    op.create_index(
        "grants_in_order",
        "grants",
        ["principal", kind, "uri", "permission", "until"],
        postgresql_where=living,
        sqlite_where=living,
    )
    ended = sa.text("until < 9223372036854775807")
    op.create_index(
        "grants_ended", "grants", ["bucket", "list", "until", "uri"], sqlite_where=ended, postgresql_where=ended
    )

    clocks = op.create_table(
        "clocks",
        sa.Column("bucket", key, primary_key=True),
        sa.Column("list", key, primary_key=True),
        sa.Column("last_modified", sa.BigInteger, nullable=False),
        sa.Column("floor", sa.BigInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("former", sa.BigInteger),
        sa.CheckConstraint(
            f"last_modified {_RANGE} AND floor {_RANGE} AND former >= 0 AND (count >= 0 OR floor = 0)", "clocks_range"
        ),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "members",
        sa.Column("user_id", key, primary_key=True),
        sa.Column("principal", key, primary_key=True),
        sa.Column("since", sa.BigInteger, primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.CheckConstraint(_INTERVAL, "members_range"),
        sqlite_with_rowid=False,
    )
    op.create_index("members_of_group", "members", ["principal", "until", "user_id"])
    op.create_index(
        "members_ended",
        "members",
        ["principal", "until", "user_id", "since"],
        sqlite_where=ended,
        postgresql_where=ended,
    )

    if on_postgresql:
        # One bucket may have nearly all rows. If most are small, the planner would expect a few rows in each, and read
        # all rows of a large one instead of looking them up by an index that begins with another column.
        for table in ("documents", "grants"):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN bucket SET (n_distinct = 1)")
        # After most rows were deleted, the planner would expect few objects, and scan the primary key past all of them.
        op.execute("ALTER TABLE grants ALTER COLUMN uri SET (n_distinct = 1000000000)")

    # No parent is created together with these lists, and a service with a read-only role cannot create them (O-PG-6).
    now = time.time_ns() // 1_000_000
    op.bulk_insert(
        clocks,
        [{"bucket": name, "list": name, "last_modified": now, "floor": now, "count": 0} for name in _TOP_LISTS],
    )
