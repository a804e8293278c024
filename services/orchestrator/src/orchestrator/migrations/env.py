from alembic import context

from chassis.database import run_migrations
from orchestrator.tables import METADATA

run_migrations(context, METADATA)
