"""Shipments, parcels, carrier events, escalations."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    Text,
    UniqueConstraint,
    func,
    text,
)

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    now = func.now()
    op.create_table(
        "shipments",
        Column("order_id", Text(collation="C"), primary_key=True),
        Column("cancelled", Boolean, nullable=False, server_default=text("false")),
        Column("cancel_reason", Text),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=now),
        Column("cancelled_at", DateTime(timezone=True)),
    )
    op.create_table(
        "parcels",
        Column("order_id", Text(collation="C"), ForeignKey("shipments.order_id"), primary_key=True),
        Column("parcel", Integer, primary_key=True),
        Column("key", Text, nullable=False, unique=True),
        Column("carrier", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("tracking_number", Text),
        Column("was_booked", Boolean, nullable=False, server_default=text("false")),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=now),
        Column("updated_at", DateTime(timezone=True), nullable=False, server_default=now),
        CheckConstraint("state IN ('booking', 'booked', 'refused', 'cancelled')", name="state"),
        CheckConstraint("state <> 'booked' OR tracking_number IS NOT NULL", name="booked_has_number"),
    )
    op.create_table(
        "carrier_events",
        Column("seq", BigInteger, Identity(always=True), primary_key=True),
        Column("carrier", Text, nullable=False),
        Column("event_id", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("tracking_number", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("at", DateTime(timezone=True), nullable=False),
        Column("received_at", DateTime(timezone=True), nullable=False, server_default=now),
        Column("told", Boolean, nullable=False, server_default=text("false")),
        UniqueConstraint("carrier", "event_id"),
        CheckConstraint(
            "state IN ('booked', 'picked_up', 'in_transit', 'delivered', 'returned', 'lost')", name="state"
        ),
    )
    op.create_index("ix_carrier_events_key", "carrier_events", ["key", "seq"])
    op.create_index("ix_carrier_events_untold", "carrier_events", ["key"], postgresql_where=text("NOT told"))
    op.create_table(
        "escalations",
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("order_id", Text(collation="C"), nullable=False),
        Column("parcel", Integer, nullable=False),
        Column("at", DateTime(timezone=True), nullable=False),
        Column("silent_since", DateTime(timezone=True), nullable=False),
        Column("news", Integer, nullable=False),
        Column("detail", Text, nullable=False),
        UniqueConstraint("order_id", "parcel", "at"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("escalations", "carrier_events", "parcels", "shipments"):
        op.drop_table(table)
