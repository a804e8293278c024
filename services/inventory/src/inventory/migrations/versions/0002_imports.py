"""Imports of suppliers' lists: what was sent, how far it is, and what was rejected."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KINDS = "kind IN ('receipt', 'commit', 'put_back', 'import')"
_QUANTITY = "CASE kind WHEN 'commit' THEN quantity < 0 WHEN 'import' THEN quantity <> 0 ELSE quantity > 0 END"


def _name(column: str, **options: bool) -> sa.Column[str]:
    return sa.Column(column, sa.Text(collation="C"), **options)  # type: ignore[arg-type]


def _moment(column: str) -> sa.Column[object]:
    return sa.Column(column, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp())


def upgrade() -> None:
    """Make the tables, and let movements come from imports."""
    op.drop_constraint(op.f("ck_movements_kind"), "movements")
    op.create_check_constraint("kind", "movements", _KINDS)
    op.drop_constraint(op.f("ck_movements_quantity"), "movements")
    op.create_check_constraint("quantity", "movements", _QUANTITY)
    op.create_table("import_uploads", sa.Column("upload", UUID, primary_key=True), _moment("touched_at"))
    op.create_table(
        "import_rows",
        sa.Column("upload", UUID, primary_key=True),
        sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),
        _name("sku"),
        _name("warehouse"),
        _name("currency"),
        sa.Column("weight", sa.Integer),
        sa.Column("price", sa.BigInteger),
        sa.Column("quantity", sa.BigInteger),
        sa.Column("fault", sa.Text),
    )
    op.create_table(
        "imports",
        _name("import_id", primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("upload", UUID, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("last_line", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="accepted"),
        sa.Column("result", JSONB),
        _moment("created_at"),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('accepted', 'running', 'completed', 'cancelled', 'failed')", name="state"),
        sa.CheckConstraint("rows > 0", name="rows"),
    )
    op.create_index("imports_waiting", "imports", ["created_at"], postgresql_where=sa.text("started_at IS NULL"))
    op.create_table(
        "import_partitions",
        _name("import_id", primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("first_line", sa.Integer, nullable=False),
        sa.Column("last_line", sa.Integer, nullable=False),
        sa.Column("done_line", sa.Integer, nullable=False),
        sa.Column("applied", sa.Integer, nullable=False, server_default="0"),
        sa.Column("rejected", sa.Integer, nullable=False, server_default="0"),
        sa.Column("error", sa.Text),
        sa.Column("attempts", sa.Integer),
        sa.ForeignKeyConstraint(["import_id"], ["imports.import_id"]),
        sa.CheckConstraint("done_line BETWEEN first_line - 1 AND last_line", name="done_line"),
    )
    op.create_table(
        "import_rejections",
        _name("import_id", primary_key=True),
        sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["imports.import_id"]),
    )
