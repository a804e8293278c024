"""Inventory's tables. The migrations make them; a test holds the two equal.

What no program may break stands in the database: ``on_hand >= held >= 0``, and ``on_hand`` is written by the trigger of
``movements`` alone, so units never appear or vanish without a movement, and movements are never changed or deleted.
"""

from enum import StrEnum

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
from sqlalchemy.dialects.postgresql import JSONB, UUID

from chassis import database


class HoldState(StrEnum):
    """Where an order's stock is. The row's state decides every race."""

    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"
    """Undone, or never held and fenced against a reserve that comes late."""
    EXPIRED = "expired"


class MovementKind(StrEnum):
    """Why units came or went."""

    RECEIPT = "receipt"
    """Goods came in; the reference is the receipt's id."""
    COMMIT = "commit"
    """Goods went out; the reference is the order's id."""
    PUT_BACK = "put_back"
    """A commit was undone; the reference is the order's id."""
    IMPORT = "import"
    """A supplier's list says that there are more units, or fewer; the reference names the import and the line."""
    STOCKTAKE = "stocktake"
    """A count found more units, or fewer; the reference names the stocktake."""


metadata = database.metadata()

# Names sort by their bytes: rows are locked in this order, and pages follow it, whatever the database's locale.
_NAME = Text(collation="C")

products = Table(
    "products",
    metadata,
    Column("sku", _NAME, primary_key=True),
    Column("weight", Integer, CheckConstraint("weight > 0", name="weight"), nullable=False),
)
"""The catalogue. Weights in grams."""

prices = Table(
    "prices",
    metadata,
    Column("sku", _NAME, ForeignKey("products.sku"), primary_key=True),
    Column("currency", _NAME, primary_key=True),
    Column("amount", BigInteger, CheckConstraint("amount > 0", name="amount"), nullable=False),
)
"""Price of one unit, in minor units of each currency in which the SKU is sold."""

stock = Table(
    "stock",
    metadata,
    Column("sku", _NAME, ForeignKey("products.sku"), primary_key=True),
    Column("warehouse", _NAME, primary_key=True),
    Column("on_hand", BigInteger, nullable=False, server_default=text("0")),
    Column("held", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("held >= 0", name="held"),
    CheckConstraint("on_hand >= held", name="on_hand"),
)
"""Units in each warehouse. ``on_hand`` follows from ``movements``; ``held`` is part of it."""

movements = Table(
    "movements",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "kind",
        Text,
        CheckConstraint("kind IN ('receipt', 'commit', 'put_back', 'import', 'stocktake')", name="kind"),
        nullable=False,
    ),
    Column("reference", _NAME, nullable=False),
    Column("sku", _NAME, nullable=False),
    Column("warehouse", _NAME, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    CheckConstraint(
        "CASE kind WHEN 'commit' THEN quantity < 0 WHEN 'import' THEN quantity <> 0"
        " WHEN 'stocktake' THEN quantity <> 0 ELSE quantity > 0 END",
        name="quantity",
    ),
    UniqueConstraint("reference", "kind", "sku", "warehouse", name="movements_once"),
    ForeignKeyConstraint(["sku", "warehouse"], ["stock.sku", "stock.warehouse"]),
    Index("movements_by_stock", "sku", "warehouse"),
    Index("movements_receipt_once", "reference", unique=True, postgresql_where=text("kind = 'receipt'")),
)
"""Every change of ``stock.on_hand``, once."""

holds = Table(
    "holds",
    metadata,
    Column("order_id", _NAME, primary_key=True),
    Column(
        "state",
        Text,
        CheckConstraint("state IN ('held', 'committed', 'released', 'expired')", name="state"),
        nullable=False,
    ),
    Column("currency", _NAME),
    Column("total", BigInteger),
    Column("expires_at", DateTime(timezone=True)),
    Column("request", JSONB(none_as_null=True)),
    Column("reservation", JSONB(none_as_null=True)),
    Column("reason", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    # Only a fence has no contents.
    CheckConstraint(
        "state = 'released' OR (currency IS NOT NULL AND total IS NOT NULL AND expires_at IS NOT NULL"
        " AND request IS NOT NULL)",
        name="contents",
    ),
    Index("holds_overdue", "expires_at", postgresql_where=text("state = 'held'")),
)
"""One row an order: its state, what was asked, and the answer that a repeat gets again."""

hold_lines = Table(
    "hold_lines",
    metadata,
    Column("order_id", _NAME, ForeignKey("holds.order_id"), primary_key=True),
    Column("sku", _NAME, primary_key=True),
    Column("warehouse", _NAME, primary_key=True),
    Column("quantity", BigInteger, CheckConstraint("quantity > 0", name="quantity"), nullable=False),
    ForeignKeyConstraint(["sku", "warehouse"], ["stock.sku", "stock.warehouse"]),
    Index("hold_lines_by_stock", "sku", "warehouse"),
)
"""The units of a hold. They stay when the hold is over: the state says what became of them."""

import_uploads = Table(
    "import_uploads",
    metadata,
    Column("upload", UUID, primary_key=True),
    Column("touched_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
)
"""Uploads under way. One that is touched no more was broken off, and its rows are removed."""

import_rows = Table(
    "import_rows",
    metadata,
    Column("upload", UUID, primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("sku", _NAME),
    Column("warehouse", _NAME),
    Column("currency", _NAME),
    Column("weight", Integer),
    Column("price", BigInteger),
    Column("quantity", BigInteger),
    Column("fault", Text),
)
"""The staging table: suppliers' lists line by line, as columns or with the fault for which they cannot be used.

A list stands here from its upload until all of it is applied.
"""

imports = Table(
    "imports",
    metadata,
    Column("import_id", _NAME, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("upload", UUID, nullable=False),
    Column("rows", Integer, CheckConstraint("rows > 0", name="rows"), nullable=False),
    Column("last_line", Integer, nullable=False),
    Column(
        "state",
        Text,
        CheckConstraint("state IN ('accepted', 'running', 'completed', 'cancelled', 'failed')", name="state"),
        nullable=False,
        server_default=text("'accepted'"),
    ),
    Column("result", JSONB(none_as_null=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Index("imports_waiting", "created_at", postgresql_where=text("started_at IS NULL")),
)
"""One row an import, kept for ever: it tells a repeat from a conflict."""

import_partitions = Table(
    "import_partitions",
    metadata,
    Column("import_id", _NAME, ForeignKey("imports.import_id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("first_line", Integer, nullable=False),
    Column("last_line", Integer, nullable=False),
    Column("done_line", Integer, nullable=False),
    Column("applied", Integer, nullable=False, server_default=text("0")),
    Column("rejected", Integer, nullable=False, server_default=text("0")),
    Column("error", Text),
    Column("attempts", Integer),
    CheckConstraint("done_line BETWEEN first_line - 1 AND last_line", name="done_line"),
)
"""How far each partition is. ``done_line`` moves in the transaction that applies the lines: so each is applied once."""

import_rejections = Table(
    "import_rejections",
    metadata,
    Column("import_id", _NAME, ForeignKey("imports.import_id"), primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
)
"""The lines that were not applied, and why."""

closures = Table(
    "closures",
    metadata,
    Column("warehouse", _NAME, primary_key=True),
    Column("stocktake", _NAME, nullable=False),
    Column("closed_until", DateTime(timezone=True), nullable=False),
)
"""Warehouses that are closed to new reservations, and for which stocktake. A lease: past its end they are open."""

stocktakes = Table(
    "stocktakes",
    metadata,
    Column("stocktake", _NAME, primary_key=True),
    Column("round_id", _NAME, nullable=False),
    Column("warehouse", _NAME, nullable=False),
    Column("complete", Boolean, nullable=False, server_default=text("false")),
    Column("result", JSONB(none_as_null=True)),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("finished_at", DateTime(timezone=True)),
    Index("stocktakes_by_round", "round_id"),
)
"""One row for each warehouse that a round counted itself. With a result it takes no more counts."""

stocktake_counts = Table(
    "stocktake_counts",
    metadata,
    Column("stocktake", _NAME, ForeignKey("stocktakes.stocktake"), primary_key=True),
    Column("sku", _NAME, ForeignKey("products.sku"), primary_key=True),
    Column("counted", BigInteger, CheckConstraint("counted >= 0", name="counted"), nullable=False),
    Column("on_hand", BigInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
)
"""The count sheet: what was counted, and what the books said then. Goods go out meanwhile; the difference stays."""

stocktake_rounds = Table(
    "stocktake_rounds",
    metadata,
    Column("round_id", _NAME, primary_key=True),
    Column("request", JSONB, nullable=False),
    Column(
        "state",
        Text,
        CheckConstraint("state IN ('accepted', 'running', 'completed', 'cancelled')", name="state"),
        nullable=False,
        server_default=text("'accepted'"),
    ),
    Column("result", JSONB(none_as_null=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Index("stocktake_rounds_waiting", "created_at", postgresql_where=text("started_at IS NULL")),
)
"""One row a round, kept for ever."""

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("key", _NAME, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("shelves", BigInteger, nullable=False),
    Column("violations", BigInteger, nullable=False),
    Column("items", JSONB, nullable=False),
    Index("reconciliations_by_time", "at"),
)
"""Reports: how many shelves were checked, how many were wrong, and the first of those."""
