"""Run by alembic."""

from typing import cast

from alembic import context
from alembic.runtime.environment import EnvironmentContext

from chassis.database import run_migrations
from shipping.tables import METADATA

# The module stands in for the object: it has the same functions.
run_migrations(cast(EnvironmentContext, context), METADATA)
