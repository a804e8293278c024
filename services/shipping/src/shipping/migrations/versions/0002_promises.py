"""When a parcel shall be delivered, and escalations of what is late."""

from alembic import op
from sqlalchemy import Column, DateTime, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what is promised. Nothing was promised for the parcels that there are."""
    op.add_column("parcels", Column("promised_at", DateTime(timezone=True)))
    op.add_column("carrier_events", Column("expected_at", DateTime(timezone=True)))
    op.add_column("escalations", Column("kind", Text, nullable=False, server_default="silence"))
    op.add_column("escalations", Column("promised_at", DateTime(timezone=True)))
    op.create_check_constraint("kind", "escalations", "kind IN ('silence', 'late')")


def downgrade() -> None:
    """Take it away."""
    op.drop_constraint("kind", "escalations", type_="check")
    op.drop_column("escalations", "promised_at")
    op.drop_column("escalations", "kind")
    op.drop_column("carrier_events", "expected_at")
    op.drop_column("parcels", "promised_at")
