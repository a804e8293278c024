"""Shipping's tables. Rows of one order are written under the lock of its ``shipments`` row."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.database import metadata

METADATA = metadata()

_NOW = func.now()

shipments = Table(
    "shipments",
    METADATA,
    # COLLATE "C": pages by order id have the same order on every server.
    Column("order_id", Text(collation="C"), primary_key=True),
    # The fence: once true it stays, and whatever arrives later does nothing.
    Column("cancelled", Boolean, nullable=False, server_default=text("false")),
    Column("cancel_reason", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("cancelled_at", DateTime(timezone=True)),
)

parcels = Table(
    "parcels",
    METADATA,
    Column("order_id", Text(collation="C"), ForeignKey("shipments.order_id"), primary_key=True),
    Column("parcel", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("carrier", Text, nullable=False),
    # booking: the intent is written, what the carrier did with it is not known yet.
    Column("state", Text, nullable=False),
    Column("tracking_number", Text),
    # Where it is picked; not known of parcels that were booked before there were pick waves.
    Column("warehouse", Text),
    # When it shall be delivered, as promised when it was booked.
    Column("promised_at", DateTime(timezone=True)),
    # Of a cancelled parcel: whether there was a booking, or only a key to burn.
    Column("was_booked", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    CheckConstraint("state IN ('booking', 'booked', 'refused', 'cancelled')", name="state"),
    CheckConstraint("state <> 'booked' OR tracking_number IS NOT NULL", name="booked_has_number"),
)

pick_waves = Table(
    "pick_waves",
    METADATA,
    Column("wave_id", Text(collation="C"), primary_key=True),
    Column("warehouse", Text, nullable=False),
    Column("pickers", Integer, nullable=False),
    # accepted: its workflow is still to be started.
    Column("state", Text, nullable=False),
    Column("result", JSONB),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint("state IN ('accepted', 'running', 'completed', 'cancelled')", name="state"),
)

pick_tasks = Table(
    "pick_tasks",
    METADATA,
    Column("task_id", Text(collation="C"), primary_key=True),
    Column("order_id", Text(collation="C"), nullable=False),
    Column("parcel", Integer, nullable=False),
    Column("wave_id", Text(collation="C"), ForeignKey("pick_waves.wave_id"), nullable=False),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("picker", Integer),
    # How often it was picked: the effect, counted.
    Column("picks", Integer, nullable=False, server_default=text("0")),
    Column("picked_at", DateTime(timezone=True)),
    ForeignKeyConstraint(["order_id", "parcel"], ["parcels.order_id", "parcels.parcel"]),
    UniqueConstraint("order_id", "parcel"),
    CheckConstraint("state IN ('waiting', 'picked', 'skipped')", name="state"),
    CheckConstraint("picks = CASE WHEN state = 'picked' THEN 1 ELSE 0 END", name="picked_once"),
    Index("ix_pick_tasks_wave_id", "wave_id", "state", "task_id"),
)

carrier_events = Table(
    "carrier_events",
    METADATA,
    # The order of arrival.
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("carrier", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    # The booking's key. No foreign key: an event may come before its booking is recorded, or for none of ours.
    Column("key", Text, nullable=False),
    Column("tracking_number", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    # When the carrier expects to deliver, if the event says so; it moves the promise.
    Column("expected_at", DateTime(timezone=True)),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    # Whether the workflow that tracks the parcel was told to look, or needs no telling.
    Column("told", Boolean, nullable=False, server_default=text("false")),
    # Of the request that it came in: what follows from it is part of its trace.
    Column("traceparent", Text),
    UniqueConstraint("carrier", "event_id"),
    CheckConstraint(
        "state IN ('booked', 'picked_up', 'in_transit', 'delivered', 'returned', 'lost')",
        name="state",
    ),
    Index("ix_carrier_events_key", "key", "seq"),
    Index("ix_carrier_events_untold", "key", postgresql_where=text("NOT told")),
)

escalations = Table(
    "escalations",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("order_id", Text(collation="C"), nullable=False),
    Column("parcel", Integer, nullable=False),
    # The tracking workflow's time, so that a repeated attempt finds its own row.
    Column("at", DateTime(timezone=True), nullable=False),
    Column("silent_since", DateTime(timezone=True), nullable=False),
    Column("news", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    # silence: nothing was heard; late: the promise passed without delivery.
    Column("kind", Text, nullable=False, server_default="silence"),
    Column("promised_at", DateTime(timezone=True)),
    CheckConstraint("kind IN ('silence', 'late')", name="kind"),
    UniqueConstraint("order_id", "parcel", "at"),
)
