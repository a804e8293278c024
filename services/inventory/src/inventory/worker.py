"""The composition root: from settings to a service."""

from chassis.connection import Connection
from chassis.database import Database
from chassis.serving import Service
from inventory import contract
from inventory.effects import effects
from inventory.schedules import schedules
from inventory.settings import Settings
from inventory.surface import surface
from inventory.workflows.registered import WORKFLOWS


def compose(settings: Settings, connection: Connection) -> Service:
    """Put inventory together."""
    database = Database(settings.database_url, pool_size=settings.database_pool)
    routes, background = surface(database.engine, connection, settings)
    return Service(
        name="inventory",
        settings=settings,
        connection=connection,
        database=database,
        migrations="inventory.migrations",
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=effects(database.engine),
        routes=routes,
        background=background,
        schedules=schedules(settings),
    )
