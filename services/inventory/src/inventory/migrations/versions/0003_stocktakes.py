"""Stocktakes: warehouses that are closed, rounds, counts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KINDS = "kind IN ('receipt', 'commit', 'put_back', 'import', 'stocktake')"
_QUANTITY = (
    "CASE kind WHEN 'commit' THEN quantity < 0 WHEN 'import' THEN quantity <> 0"
    " WHEN 'stocktake' THEN quantity <> 0 ELSE quantity > 0 END"
)


def _name(column: str, **options: bool) -> sa.Column[str]:
    return sa.Column(column, sa.Text(collation="C"), **options)  # type: ignore[arg-type]


def _moment(column: str) -> sa.Column[object]:
    return sa.Column(column, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp())


def upgrade() -> None:
    """Make the tables, and let movements come from stocktakes."""
    op.drop_constraint(op.f("ck_movements_kind"), "movements")
    op.create_check_constraint("kind", "movements", _KINDS)
    op.drop_constraint(op.f("ck_movements_quantity"), "movements")
    op.create_check_constraint("quantity", "movements", _QUANTITY)
    op.create_table(
        "closures",
        _name("warehouse", primary_key=True),
        _name("stocktake", nullable=False),
        sa.Column("closed_until", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "stocktakes",
        _name("stocktake", primary_key=True),
        _name("round_id", nullable=False),
        _name("warehouse", nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("result", JSONB),
        _moment("started_at"),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
    )
    op.create_index("stocktakes_by_round", "stocktakes", ["round_id"])
    op.create_table(
        "stocktake_counts",
        _name("stocktake", primary_key=True),
        _name("sku", primary_key=True),
        sa.Column("counted", sa.BigInteger, nullable=False),
        sa.Column("on_hand", sa.BigInteger, nullable=False),
        _moment("at"),
        sa.ForeignKeyConstraint(["stocktake"], ["stocktakes.stocktake"]),
        sa.ForeignKeyConstraint(["sku"], ["products.sku"]),
        sa.CheckConstraint("counted >= 0", name="counted"),
    )
    op.create_table(
        "stocktake_rounds",
        _name("round_id", primary_key=True),
        sa.Column("request", JSONB, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="accepted"),
        sa.Column("result", JSONB),
        _moment("created_at"),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('accepted', 'running', 'completed', 'cancelled')", name="state"),
    )
    op.create_index(
        "stocktake_rounds_waiting", "stocktake_rounds", ["created_at"], postgresql_where=sa.text("started_at IS NULL")
    )
