"""The orchestrator's tables. The migrations make them; what holds in them stands there too."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, ForeignKey, Identity, Integer, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

from chassis.database import metadata

METADATA = metadata()

orders = Table(
    "orders",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("number", BigInteger, Identity(), nullable=False, unique=True),  # order of acceptance, key of the pages
    Column("idempotency_key", Text, unique=True),
    Column("digest", Text),  # of the body; null for an order that did not come through the intake
    Column("request", JSONB),  # the workflow's input, until it is started: it holds an address and a card token
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
    Column("notified", Boolean, nullable=False, default=False),
)

steps = Table(
    "order_steps",
    METADATA,
    Column("order_id", Text, ForeignKey("orders.order_id"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("status", Text, nullable=False),
    Column("detail", Text),
    Column("at", DateTime(timezone=True), nullable=False),
)
