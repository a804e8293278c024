"""Inventory's tables. The migrations make them; a test holds the two equal.

What no program may break stands in the database: ``on_hand >= held >= 0``, and ``on_hand`` is written by the trigger of
``movements`` alone, so units never appear or vanish without a movement, and movements are never changed or deleted.
"""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
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
    Column("kind", Text, CheckConstraint("kind IN ('receipt', 'commit', 'put_back')", name="kind"), nullable=False),
    Column("reference", _NAME, nullable=False),
    Column("sku", _NAME, nullable=False),
    Column("warehouse", _NAME, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    CheckConstraint("CASE kind WHEN 'commit' THEN quantity < 0 ELSE quantity > 0 END", name="quantity"),
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
