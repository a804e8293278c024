"""Run by alembic."""

from alembic import context

from chassis.database import run_migrations
from inventory.tables import metadata

run_migrations(context, metadata)
