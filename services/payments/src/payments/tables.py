"""The tables of payments. What SQLAlchemy cannot say, the triggers, stands in the migrations."""

import sqlalchemy as sa

from chassis.database import metadata

METADATA = metadata()


def _identity(name: str, *args: sa.ForeignKey, primary_key: bool = False, index: bool = False) -> sa.Column[str]:
    # Collation C: keyset pages come in the order of bytes, whatever the database's locale.
    return sa.Column(name, sa.Text(collation="C"), *args, primary_key=primary_key, index=index, nullable=False)


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp())


PAYMENTS = sa.Table(
    "payments",
    METADATA,
    _identity("order_id", primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    # 0 and no currency: an undo came before its step, and nobody ever said how much.
    sa.Column("amount", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("currency", sa.Text),
    sa.Column("voided", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("captured", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("refunded", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("authorisation_id", sa.Text),
    sa.Column("capture_id", sa.Text),
    sa.Column("refund_id", sa.Text),
    sa.Column("decline_reason", sa.Text),
    sa.Column("reverse_reason", sa.Text),
    # A capture or a refund may have left for the gateway: look it up before it is sent again.
    sa.Column("capture_begun", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("refund_begun", sa.Boolean, nullable=False, server_default=sa.false()),
    # The store-credit account that pays. No foreign key: an order may name an account that nobody has, and is declined.
    sa.Column("account_id", sa.Text(collation="C")),
    _moment("created_at"),
    _moment("updated_at"),
)

ACCOUNTS = sa.Table(
    "accounts",
    METADATA,
    _identity("account_id", primary_key=True),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("balance", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("open", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("entries", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    _moment("created_at"),
    _moment("updated_at"),
)

BOOKINGS = sa.Table(
    "bookings",
    METADATA,
    # The key of the effect, at the gateway or here: the same effect is never booked twice.
    _identity("booking_key", primary_key=True),
    sa.Column("order_id", sa.Text(collation="C"), sa.ForeignKey("payments.order_id"), index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    _moment("booked_at"),
    # Only where the booking moves the balance of a store-credit account.
    sa.Column("account_id", sa.Text(collation="C"), sa.ForeignKey("accounts.account_id")),
    sa.Column("entry", sa.BigInteger),
    sa.Column("balance_after", sa.BigInteger),
    sa.UniqueConstraint("account_id", "entry"),
)

LEDGER_ENTRIES = sa.Table(
    "ledger_entries",
    METADATA,
    _identity("booking_key", sa.ForeignKey("bookings.booking_key"), primary_key=True),
    sa.Column("account", sa.Text, primary_key=True),
    # Minor units; what comes into the account is positive.
    sa.Column("amount", sa.BigInteger, nullable=False),
)

SETTLEMENTS = sa.Table(
    "settlements",
    METADATA,
    sa.Column("settled_on", sa.Date, primary_key=True, nullable=False),
    # What was booked before it, and in no settlement yet, is in this one.
    sa.Column("cutoff", sa.DateTime(timezone=True), nullable=False),
    _moment("made_at"),
)

SETTLEMENT_LINES = sa.Table(
    "settlement_lines",
    METADATA,
    sa.Column("settled_on", sa.Date, sa.ForeignKey("settlements.settled_on"), primary_key=True, nullable=False),
    sa.Column("currency", sa.Text, primary_key=True, nullable=False),
    sa.Column("method", sa.Text, primary_key=True, nullable=False),
    # Minor units, and how many bookings they are of.
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("captured", "captures", "refunded", "refunds")),
)

SETTLEMENT_ITEMS = sa.Table(
    "settlement_items",
    METADATA,
    _identity("booking_key", sa.ForeignKey("bookings.booking_key"), primary_key=True),
    # None while the booking waits for its settlement. A trigger makes the row with the booking.
    sa.Column("settled_on", sa.Date, sa.ForeignKey("settlements.settled_on")),
    sa.Index("ix_settlement_items_waiting", "booking_key", postgresql_where=sa.text("settled_on IS NULL")),
)
