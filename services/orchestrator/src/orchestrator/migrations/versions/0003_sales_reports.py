"""Sales reports, one a day."""

from alembic import op
from sqlalchemy import Column, Date, DateTime, func
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "sales_reports",
        Column("date", Date, primary_key=True),
        Column("document", JSONB, nullable=False),
        Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )
    # A report reads the orders that ended on its day.
    op.create_index("ix_orders_updated_at", "orders", ["updated_at"])


def downgrade() -> None:
    op.drop_index("ix_orders_updated_at", "orders")
    op.drop_table("sales_reports")
