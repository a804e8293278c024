"""What a partially fulfilled order lacks."""

from alembic import op
from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("orders", Column("missing", JSONB))


def downgrade() -> None:
    op.drop_column("orders", "missing")
