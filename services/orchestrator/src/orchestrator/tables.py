"""The orchestrator's tables. The migrations make them; what holds in them stands there too."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.database import metadata

METADATA = metadata()
JSON_OR_NULL = JSONB(none_as_null=True)
"""What is not there is NULL, rather than JSON's own null, which is there."""

orders = Table(
    "orders",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("number", BigInteger, Identity(), nullable=False, unique=True),  # order of acceptance, key of the pages
    Column("idempotency_key", Text, unique=True),
    Column("digest", Text),  # of the body; null for an order that did not come through the intake
    Column("request", JSON_OR_NULL),  # the workflow's input, until it is started: it holds an address and a card token
    Column("lines", JSON_OR_NULL, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    Column("total", BigInteger),
    Column("units", BigInteger),
    Column("parcels", Integer),
    Column("tracking_numbers", JSON_OR_NULL),
    Column("decision", JSON_OR_NULL),
    Column("sequence", BigInteger, nullable=False),
    Column("delivery", JSON_OR_NULL),
    Column("delivery_sequence", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True)),
    Column("notified", Boolean, nullable=False, default=False),
    Column("import_id", Text),  # null for an order that a customer placed
    Column("missing", JSON_OR_NULL),  # lines that were not in stock
    Column("traceparent", Text),  # of the request that it came in
    Column("approval", JSON_OR_NULL),  # when an approver was asked, reminded, and by whom and when it was decided
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

import_uploads = Table(
    "import_uploads",
    METADATA,
    Column("upload_id", Uuid, primary_key=True),
    Column("begun_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

imports = Table(
    "imports",
    METADATA,
    Column("import_id", Text, primary_key=True),
    Column("upload_id", Uuid, ForeignKey("import_uploads.upload_id"), nullable=False, unique=True),
    Column("digest", Text, nullable=False),  # of the file, which tells a repeat from a conflict
    Column("rows", BigInteger, nullable=False),
    Column("window", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
)

import_rows = Table(
    "import_rows",
    METADATA,
    # An upload's own, until it is whole: half a file is no import.
    Column("upload_id", Uuid, ForeignKey("import_uploads.upload_id", ondelete="CASCADE"), primary_key=True),
    Column("line", BigInteger, primary_key=True),
    Column("state", Text, nullable=False),
    Column("order_id", Text),  # null in a row that names none, until it is taken
    Column("digest", Text),  # of the order's body
    Column(
        "request", JSON_OR_NULL
    ),  # the order's workflow's input, until it is taken: it holds an address and a card token
    Column("detail", Text),  # what is wrong with a malformed row
)

sales_reports = Table(
    "sales_reports",
    METADATA,
    Column("date", Date, primary_key=True),
    Column("document", JSON_OR_NULL, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
