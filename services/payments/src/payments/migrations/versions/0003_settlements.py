"""Settlements: documents of what was captured and refunded, each booking in one of them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A booking waits for its settlement from the moment it stands, and is in one settlement for ever.
_ONCE = """
CREATE FUNCTION await_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO settlement_items (booking_key) VALUES (NEW.booking_key);
    RETURN NULL;
END $$;
CREATE TRIGGER bookings_await_settlement AFTER INSERT ON bookings
    FOR EACH ROW WHEN (NEW.kind IN ('capture', 'refund')) EXECUTE FUNCTION await_settlement();
INSERT INTO settlement_items (booking_key) SELECT booking_key FROM bookings WHERE kind IN ('capture', 'refund');

CREATE FUNCTION refuse_second_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'booking % is settled on % already', OLD.booking_key, OLD.settled_on
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER items_settled_once BEFORE UPDATE OR DELETE ON settlement_items
    FOR EACH ROW WHEN (OLD.settled_on IS NOT NULL) EXECUTE FUNCTION refuse_second_settlement();

CREATE TRIGGER settlements_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON settlements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_ledger();
CREATE TRIGGER lines_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON settlement_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_ledger();
"""


def upgrade() -> None:
    """Make the settlements, with every booking there is waiting for its own."""
    op.create_table(
        "settlements",
        sa.Column("settled_on", sa.Date, primary_key=True, nullable=False),
        sa.Column("cutoff", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
    )
    op.create_table(
        "settlement_lines",
        sa.Column("settled_on", sa.Date, primary_key=True, nullable=False),
        sa.Column("currency", sa.Text, primary_key=True, nullable=False),
        sa.Column("method", sa.Text, primary_key=True, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("captured", "captures", "refunded", "refunds")),
        sa.ForeignKeyConstraint(["settled_on"], ["settlements.settled_on"], name="fk_settlement_lines_settled_on"),
        sa.CheckConstraint("method IN ('card', 'store_credit')", name="method"),
        sa.CheckConstraint(
            "captures >= 0 AND captured >= captures AND refunds >= 0 AND refunded >= refunds"
            " AND captures + refunds > 0",
            name="amounts",
        ),
    )
    op.create_table(
        "settlement_items",
        sa.Column("booking_key", sa.Text(collation="C"), primary_key=True, nullable=False),
        sa.Column("settled_on", sa.Date),
        sa.ForeignKeyConstraint(["booking_key"], ["bookings.booking_key"], name="fk_settlement_items_booking_key"),
        sa.ForeignKeyConstraint(["settled_on"], ["settlements.settled_on"], name="fk_settlement_items_settled_on"),
    )
    op.create_index(
        "ix_settlement_items_waiting",
        "settlement_items",
        ["booking_key"],
        postgresql_where=sa.text("settled_on IS NULL"),
    )
    op.execute(_ONCE)
