"""Payments and the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Deferred to the commit: a booking is written entry by entry. The ledger and the payment's row are held together by
# the same function: what lies on the gateway's account is what was captured and not refunded.
_LEDGER_BALANCES = """
CREATE FUNCTION require_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    payment payments;
    at_gateway bigint;
BEGIN
    SELECT * INTO payment FROM payments WHERE order_id = NEW.order_id;
    IF EXISTS (
        SELECT FROM bookings b LEFT JOIN ledger_entries e USING (booking_key)
        WHERE b.order_id = NEW.order_id GROUP BY b.booking_key
        HAVING count(e.account) < 2 OR sum(e.amount) <> 0
    ) THEN
        RAISE EXCEPTION 'a booking of order % does not sum to 0', NEW.order_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT coalesce(sum(e.amount), 0) INTO at_gateway FROM bookings b JOIN ledger_entries e USING (booking_key)
        WHERE b.order_id = NEW.order_id AND e.account = 'gateway';
    IF at_gateway <> payment.captured - payment.refunded THEN
        RAISE EXCEPTION 'the ledger of order % has % at the gateway, its payment %',
            NEW.order_id, at_gateway, payment.captured - payment.refunded
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER payments_balance AFTER INSERT OR UPDATE OF captured, refunded ON payments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_balance();
CREATE CONSTRAINT TRIGGER bookings_balance AFTER INSERT ON bookings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_balance();

CREATE FUNCTION require_balance_of_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total bigint;
BEGIN
    SELECT sum(amount) INTO total FROM ledger_entries WHERE booking_key = NEW.booking_key;
    IF total <> 0 THEN
        RAISE EXCEPTION 'booking % sums to %, not to 0', NEW.booking_key, total
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entries_balance AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_balance_of_entry();
"""

# A wrong booking is mended by another one.
_LEDGER_STAYS = """
CREATE FUNCTION refuse_change_of_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what is booked is never changed or deleted' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER bookings_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON bookings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_ledger();
CREATE TRIGGER entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_ledger();
"""


def _identity(name: str, *, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(collation="C"), primary_key=primary_key, nullable=False)


def _amount(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp())


def upgrade() -> None:
    """Make the tables, and the triggers that keep the ledger balanced."""
    op.create_table(
        "payments",
        _identity("order_id", primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        _amount("amount"),
        sa.Column("currency", sa.Text),
        _amount("voided"),
        _amount("captured"),
        _amount("refunded"),
        sa.Column("authorisation_id", sa.Text),
        sa.Column("capture_id", sa.Text),
        sa.Column("refund_id", sa.Text),
        sa.Column("decline_reason", sa.Text),
        sa.Column("reverse_reason", sa.Text),
        _flag("capture_begun"),
        _flag("refund_begun"),
        _moment("created_at"),
        _moment("updated_at"),
        sa.CheckConstraint(
            "state IN ('authorising', 'authorised', 'declined', 'captured', 'reversing', 'reversed')", name="state"
        ),
        sa.CheckConstraint("amount >= 0 AND (amount > 0 OR state IN ('reversing', 'reversed'))", name="amount"),
        sa.CheckConstraint("currency IS NOT NULL OR (amount = voided AND captured = 0)", name="currency"),
        sa.CheckConstraint("voided IN (0, amount) AND (voided = 0 OR state = 'reversed')", name="voided"),
        sa.CheckConstraint("captured IN (0, amount) AND (captured = 0 OR voided = 0)", name="captured"),
        sa.CheckConstraint("refunded IN (0, captured)", name="refunded"),
        sa.CheckConstraint("state <> 'authorised' OR authorisation_id IS NOT NULL", name="authorised"),
        sa.CheckConstraint("state <> 'declined' OR decline_reason IS NOT NULL", name="declined"),
        sa.CheckConstraint(
            "CASE state WHEN 'captured' THEN captured = amount AND refunded = 0 AND capture_id IS NOT NULL"
            " WHEN 'reversing' THEN refunded = 0"
            " WHEN 'reversed' THEN captured = refunded"
            " ELSE captured = 0 END",
            name="state_and_money",
        ),
    )
    op.create_table(
        "bookings",
        _identity("booking_key", primary_key=True),
        _identity("order_id"),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        _moment("booked_at"),
        sa.ForeignKeyConstraint(["order_id"], ["payments.order_id"], name="fk_bookings_order_id"),
        sa.CheckConstraint("kind IN ('capture', 'refund')", name="kind"),
    )
    op.create_index("ix_bookings_order_id", "bookings", ["order_id"])
    op.create_table(
        "ledger_entries",
        _identity("booking_key", primary_key=True),
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["booking_key"], ["bookings.booking_key"], name="fk_ledger_entries_booking_key"),
        sa.CheckConstraint("account IN ('gateway', 'sales')", name="account"),
        sa.CheckConstraint("amount <> 0", name="amount"),
    )
    op.execute(_LEDGER_BALANCES)
    op.execute(_LEDGER_STAYS)
