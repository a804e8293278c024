"""Pick waves and their tasks; the warehouse of a parcel."""

from alembic import op
from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables."""
    op.add_column("parcels", Column("warehouse", Text))
    op.create_table(
        "pick_waves",
        Column("wave_id", Text(collation="C"), primary_key=True),
        Column("warehouse", Text, nullable=False),
        Column("pickers", Integer, nullable=False),
        Column("state", Text, nullable=False),
        Column("result", JSONB),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("finished_at", DateTime(timezone=True)),
        CheckConstraint("state IN ('accepted', 'running', 'completed', 'cancelled')", name="state"),
    )
    op.create_table(
        "pick_tasks",
        Column("task_id", Text(collation="C"), primary_key=True),
        Column("order_id", Text(collation="C"), nullable=False),
        Column("parcel", Integer, nullable=False),
        Column("wave_id", Text(collation="C"), ForeignKey("pick_waves.wave_id"), nullable=False),
        Column("state", Text, nullable=False, server_default="waiting"),
        Column("picker", Integer),
        Column("picks", Integer, nullable=False, server_default=text("0")),
        Column("picked_at", DateTime(timezone=True)),
        ForeignKeyConstraint(["order_id", "parcel"], ["parcels.order_id", "parcels.parcel"]),
        UniqueConstraint("order_id", "parcel"),
        CheckConstraint("state IN ('waiting', 'picked', 'skipped')", name="state"),
        CheckConstraint("picks = CASE WHEN state = 'picked' THEN 1 ELSE 0 END", name="picked_once"),
    )
    op.create_index("ix_pick_tasks_wave_id", "pick_tasks", ["wave_id", "state", "task_id"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("pick_tasks")
    op.drop_table("pick_waves")
    op.drop_column("parcels", "warehouse")
