from alembic import context

from chassis.database import metadata, run_migrations

run_migrations(context, metadata())
