"""Alembic's entry: the chassis runs the migrations, under its lock."""

from alembic import context

from chassis.database import run_migrations
from payments.tables import METADATA

run_migrations(context, METADATA)
