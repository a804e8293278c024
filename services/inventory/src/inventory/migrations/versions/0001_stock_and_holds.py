"""Catalogue, stock, movements and holds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_APPLY_MOVEMENT = """
CREATE FUNCTION apply_movement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE stock SET on_hand = on_hand + NEW.quantity WHERE sku = NEW.sku AND warehouse = NEW.warehouse;
    RETURN NULL;
END $$;
CREATE TRIGGER movements_apply AFTER INSERT ON movements FOR EACH ROW EXECUTE FUNCTION apply_movement();
"""

# A depth of 1 is a statement of somebody's own; the trigger above runs one level deeper.
_REFUSE_UNMOVED = """
CREATE FUNCTION refuse_change_without_movement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 AND NEW.on_hand <> (CASE TG_OP WHEN 'INSERT' THEN 0 ELSE OLD.on_hand END) THEN
        RAISE EXCEPTION 'on_hand of % in % changes by a movement only', NEW.sku, NEW.warehouse
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stock_follows_movements BEFORE INSERT OR UPDATE ON stock
    FOR EACH ROW EXECUTE FUNCTION refuse_change_without_movement();
"""

_KEEP_MOVEMENTS = """
CREATE FUNCTION refuse_change_of_movements() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'movements are never changed or deleted' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER movements_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON movements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_movements();
"""


def _name(column: str, **options: bool) -> sa.Column[str]:
    return sa.Column(column, sa.Text(collation="C"), **options)  # type: ignore[arg-type]


def _moment(column: str) -> sa.Column[object]:
    return sa.Column(column, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp())


def upgrade() -> None:
    """Make the tables, and the triggers that tie stock to movements."""
    op.create_table(
        "products",
        _name("sku", primary_key=True),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.CheckConstraint("weight > 0", name="weight"),
    )
    op.create_table(
        "prices",
        _name("sku", primary_key=True),
        _name("currency", primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["sku"], ["products.sku"]),
        sa.CheckConstraint("amount > 0", name="amount"),
    )
    op.create_table(
        "stock",
        _name("sku", primary_key=True),
        _name("warehouse", primary_key=True),
        sa.Column("on_hand", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("held", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.ForeignKeyConstraint(["sku"], ["products.sku"]),
        sa.CheckConstraint("held >= 0", name="held"),
        sa.CheckConstraint("on_hand >= held", name="on_hand"),
    )
    op.create_table(
        "movements",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        _name("reference", nullable=False),
        _name("sku", nullable=False),
        _name("warehouse", nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        _moment("at"),
        sa.CheckConstraint("kind IN ('receipt', 'commit', 'put_back')", name="kind"),
        sa.CheckConstraint("CASE kind WHEN 'commit' THEN quantity < 0 ELSE quantity > 0 END", name="quantity"),
        sa.UniqueConstraint("reference", "kind", "sku", "warehouse", name="movements_once"),
        sa.ForeignKeyConstraint(["sku", "warehouse"], ["stock.sku", "stock.warehouse"]),
    )
    op.create_index("movements_by_stock", "movements", ["sku", "warehouse"])
    op.create_index(
        "movements_receipt_once", "movements", ["reference"], unique=True, postgresql_where=sa.text("kind = 'receipt'")
    )
    op.create_table(
        "holds",
        _name("order_id", primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        _name("currency"),
        sa.Column("total", sa.BigInteger),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("request", JSONB),
        sa.Column("reservation", JSONB),
        sa.Column("reason", sa.Text),
        _moment("created_at"),
        _moment("updated_at"),
        sa.CheckConstraint("state IN ('held', 'committed', 'released', 'expired')", name="state"),
        sa.CheckConstraint(
            "state = 'released' OR (currency IS NOT NULL AND total IS NOT NULL AND expires_at IS NOT NULL"
            " AND request IS NOT NULL)",
            name="contents",
        ),
    )
    op.create_index("holds_overdue", "holds", ["expires_at"], postgresql_where=sa.text("state = 'held'"))
    op.create_table(
        "hold_lines",
        _name("order_id", primary_key=True),
        _name("sku", primary_key=True),
        _name("warehouse", primary_key=True),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["holds.order_id"]),
        sa.ForeignKeyConstraint(["sku", "warehouse"], ["stock.sku", "stock.warehouse"]),
        sa.CheckConstraint("quantity > 0", name="quantity"),
    )
    op.create_index("hold_lines_by_stock", "hold_lines", ["sku", "warehouse"])
    for statements in (_APPLY_MOVEMENT, _REFUSE_UNMOVED, _KEEP_MOVEMENTS):
        op.execute(statements)
