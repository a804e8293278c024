"""The trace that an order came in, so that a start that had to wait is still part of it."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("orders", Column("traceparent", Text))


def downgrade() -> None:
    op.drop_column("orders", "traceparent")
