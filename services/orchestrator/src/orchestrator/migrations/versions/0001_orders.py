"""Orders and their steps."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, DateTime, ForeignKey, Identity, Integer, Text, func
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "orders",
        Column("order_id", Text, primary_key=True),
        Column("number", BigInteger, Identity(), nullable=False, unique=True),
        Column("idempotency_key", Text, unique=True),
        Column("digest", Text),
        Column("request", JSONB),
        Column("lines", JSONB, nullable=False),
        Column("currency", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("reason", Text),
        Column("detail", Text),
        Column("total", BigInteger),
        Column("units", BigInteger),
        Column("parcels", Integer),
        Column("tracking_numbers", JSONB),
        Column("decision", JSONB),
        Column("sequence", BigInteger, nullable=False),
        Column("delivery", JSONB),
        Column("delivery_sequence", BigInteger, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("started_at", DateTime(timezone=True)),
        Column("notified", Boolean, nullable=False),
    )
    op.create_index("ix_orders_status", "orders", ["status", "number"])
    # The intake looks here every second; all but a few rows are started.
    op.execute("CREATE INDEX ix_orders_unstarted ON orders (number) WHERE started_at IS NULL")
    op.execute('CREATE INDEX ix_orders_order_id_c ON orders (order_id COLLATE "C")')
    op.create_table(
        "order_steps",
        Column("order_id", Text, ForeignKey("orders.order_id"), primary_key=True),
        Column("sequence", BigInteger, primary_key=True),
        Column("status", Text, nullable=False),
        Column("detail", Text),
        Column("at", DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("order_steps")
    op.drop_table("orders")
