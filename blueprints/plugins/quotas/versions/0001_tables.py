"""Create the table of quotas."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table; text keys sort by code point."""
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    numbers = ("collection_count", "record_count", "storage_size")
    op.create_table(
        "quotas",
        sa.Column("bucket", key, primary_key=True),
        sa.Column("uri", key, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in numbers),
    )
