"""Store-credit accounts, and bookings that move them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A fence moves nothing: it only holds a key. What a payment took lies where it was paid from, at the gateway or in the
# store credit, and what it took for good lies in the sales.
_LEDGER_AND_PAYMENT = """
CREATE OR REPLACE FUNCTION require_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    payment payments;
    at_gateway bigint;
    in_sales bigint;
    of_credit bigint;
BEGIN
    SELECT * INTO payment FROM payments WHERE order_id = NEW.order_id;
    IF EXISTS (
        SELECT FROM bookings b LEFT JOIN ledger_entries e USING (booking_key)
        WHERE b.order_id = NEW.order_id GROUP BY b.booking_key, b.kind
        HAVING CASE b.kind WHEN 'fence' THEN count(e.account) > 0
            ELSE count(e.account) < 2 OR sum(e.amount) <> 0 END
    ) THEN
        RAISE EXCEPTION 'a booking of order % does not sum to 0', NEW.order_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT coalesce(sum(e.amount) FILTER (WHERE e.account = 'gateway'), 0),
        coalesce(sum(e.amount) FILTER (WHERE e.account = 'sales'), 0),
        coalesce(sum(e.amount) FILTER (WHERE e.account = 'store_credit'), 0)
        INTO at_gateway, in_sales, of_credit
        FROM bookings b JOIN ledger_entries e USING (booking_key) WHERE b.order_id = NEW.order_id;
    IF at_gateway <> (CASE WHEN payment.account_id IS NULL THEN payment.captured - payment.refunded ELSE 0 END) THEN
        RAISE EXCEPTION 'the ledger of order % has % at the gateway, its payment %',
            NEW.order_id, at_gateway, payment.captured - payment.refunded
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF -in_sales <> payment.captured - payment.refunded THEN
        RAISE EXCEPTION 'the ledger of order % has % in the sales, its payment %',
            NEW.order_id, -in_sales, payment.captured - payment.refunded
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF of_credit <> (CASE
        WHEN payment.account_id IS NULL THEN 0
        WHEN payment.state IN ('authorised', 'captured') THEN payment.amount
        WHEN payment.state = 'reversing' AND payment.authorisation_id IS NOT NULL THEN payment.amount
        ELSE 0 END)
    THEN
        RAISE EXCEPTION 'the ledger of order % has % of store credit, which does not fit its payment',
            NEW.order_id, of_credit
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER payments_credit AFTER UPDATE OF state, amount, account_id ON payments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.account_id IS NOT NULL OR OLD.account_id IS NOT NULL)
    EXECUTE FUNCTION require_balance();
DROP TRIGGER bookings_balance ON bookings;
CREATE CONSTRAINT TRIGGER bookings_balance AFTER INSERT ON bookings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.order_id IS NOT NULL) EXECUTE FUNCTION require_balance();
"""

# An account lives for ever: each booking is held against the one before it, not against all there ever were.
_LEDGER_AND_ACCOUNT = """
CREATE FUNCTION require_account_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bigint := 0;
    moved bigint;
    total bigint;
    sides bigint;
    last_entry bigint;
BEGIN
    IF NEW.entry > 1 THEN
        SELECT balance_after INTO before FROM bookings WHERE account_id = NEW.account_id AND entry = NEW.entry - 1;
    END IF;
    SELECT coalesce(-sum(amount) FILTER (WHERE account = 'store_credit'), 0), coalesce(sum(amount), 0), count(*)
        INTO moved, total, sides FROM ledger_entries WHERE booking_key = NEW.booking_key;
    IF total <> 0 OR sides < 2 THEN
        RAISE EXCEPTION 'booking % does not sum to 0', NEW.booking_key
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT entries INTO last_entry FROM accounts WHERE account_id = NEW.account_id;
    IF before IS NULL OR before + moved <> NEW.balance_after OR moved = 0 OR last_entry < NEW.entry THEN
        RAISE EXCEPTION 'booking % does not follow from the one before it in account %', NEW.booking_key, NEW.account_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER bookings_follow AFTER INSERT ON bookings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.account_id IS NOT NULL)
    EXECUTE FUNCTION require_account_balance();

CREATE FUNCTION require_booked_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    account accounts;
    booked bigint := 0;
BEGIN
    SELECT * INTO account FROM accounts WHERE account_id = NEW.account_id;
    IF account.entries > 0 THEN
        SELECT balance_after INTO booked FROM bookings
            WHERE account_id = account.account_id AND entry = account.entries;
    END IF;
    IF booked IS DISTINCT FROM account.balance THEN
        RAISE EXCEPTION 'account % has a balance of %, the ledger %', account.account_id, account.balance, booked
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER accounts_balance AFTER INSERT OR UPDATE OF balance, entries ON accounts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_booked_balance();
"""


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp())


def upgrade() -> None:
    """Make the accounts, and let bookings move them."""
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Text(collation="C"), primary_key=True, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("balance", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("open", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("entries", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        _moment("created_at"),
        _moment("updated_at"),
        sa.CheckConstraint("balance >= 0", name="balance"),
        sa.CheckConstraint("entries >= 0", name="entries"),
    )
    op.add_column("payments", sa.Column("account_id", sa.Text(collation="C")))
    op.alter_column("bookings", "order_id", nullable=True)
    op.add_column(
        "bookings",
        sa.Column(
            "account_id",
            sa.Text(collation="C"),
            sa.ForeignKey("accounts.account_id", name="fk_bookings_account_id"),
        ),
    )
    op.add_column("bookings", sa.Column("entry", sa.BigInteger))
    op.add_column("bookings", sa.Column("balance_after", sa.BigInteger))
    op.create_unique_constraint("uq_bookings_account_id", "bookings", ["account_id", "entry"])
    op.drop_constraint("kind", "bookings", type_="check")
    op.create_check_constraint(
        "kind",
        "bookings",
        "CASE WHEN kind IN ('deposit', 'withdrawal') THEN order_id IS NULL AND account_id IS NOT NULL"
        " WHEN kind IN ('reserve', 'release') THEN order_id IS NOT NULL AND account_id IS NOT NULL"
        " WHEN kind = 'refund' THEN order_id IS NOT NULL"
        " ELSE kind IN ('capture', 'fence') AND order_id IS NOT NULL AND account_id IS NULL END",
    )
    op.create_check_constraint(
        "account",
        "bookings",
        "CASE WHEN account_id IS NULL THEN entry IS NULL AND balance_after IS NULL"
        " ELSE entry IS NOT NULL AND entry > 0 AND balance_after IS NOT NULL AND balance_after >= 0 END",
    )
    op.drop_constraint("account", "ledger_entries", type_="check")
    op.create_check_constraint(
        "account", "ledger_entries", "account IN ('gateway', 'sales', 'store_credit', 'reserved', 'funding')"
    )
    op.execute(_LEDGER_AND_PAYMENT)
    op.execute(_LEDGER_AND_ACCOUNT)
