"""Reports of stock reconciliations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "reconciliations",
        sa.Column("key", sa.Text(collation="C"), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("shelves", sa.BigInteger, nullable=False),
        sa.Column("violations", sa.BigInteger, nullable=False),
        sa.Column("items", JSONB, nullable=False),
    )
    op.create_index("reconciliations_by_time", "reconciliations", ["at"])
