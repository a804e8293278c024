"""Imports of orders, and what became of an approval."""

from alembic import op
from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Integer, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("orders", Column("import_id", Text))
    op.add_column("orders", Column("approval", JSONB))
    op.create_table(
        "import_uploads",
        Column("upload_id", Uuid, primary_key=True),
        Column("begun_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )
    op.create_table(
        "imports",
        Column("import_id", Text, primary_key=True),
        Column("upload_id", Uuid, ForeignKey("import_uploads.upload_id"), nullable=False, unique=True),
        Column("digest", Text, nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("window", Integer, nullable=False),
        Column("status", Text, nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("started_at", DateTime(timezone=True)),
        Column("ended_at", DateTime(timezone=True)),
    )
    op.create_table(
        "import_rows",
        Column("upload_id", Uuid, ForeignKey("import_uploads.upload_id", ondelete="CASCADE"), primary_key=True),
        Column("line", BigInteger, primary_key=True),
        Column("state", Text, nullable=False),
        Column("order_id", Text),
        Column("digest", Text),
        Column("request", JSONB),
        Column("detail", Text),
    )
    # The intake looks here every second; all but a few imports are over.
    op.execute("CREATE INDEX ix_imports_open ON imports (created_at) WHERE ended_at IS NULL")


def downgrade() -> None:
    op.drop_table("import_rows")
    op.drop_table("imports")
    op.drop_table("import_uploads")
    op.drop_column("orders", "approval")
    op.drop_column("orders", "import_id")
