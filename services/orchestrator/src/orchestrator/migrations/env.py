from alembic import context

from chassis.database import run_migrations
from orchestrator.store import METADATA

run_migrations(context, METADATA)
