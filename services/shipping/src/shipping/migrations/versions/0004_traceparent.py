"""The trace that an event came in, so that telling its workflow, perhaps later, is still part of it."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add it."""
    op.add_column("carrier_events", Column("traceparent", Text))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("carrier_events", "traceparent")
