"""The composition root: from settings to a service."""

from datetime import timedelta

from chassis.connection import Connection
from chassis.database import Database
from chassis.service import Service
from inventory import contract
from inventory.beating import BEAT_SECONDS
from inventory.effects import effects
from inventory.metrics import InventoryMetrics
from inventory.schedules import schedules
from inventory.settings import Settings
from inventory.surface import surface
from inventory.workflows.registered import WORKFLOWS


def compose(settings: Settings, connection: Connection) -> Service:
    """Put inventory together."""
    database, metrics = Database(settings.database_url, pool_size=settings.database_pool), InventoryMetrics()
    routes, background = surface(database.engine, connection, settings, metrics)
    return Service(
        name="inventory",
        settings=settings,
        connection=connection,
        database=database,
        migrations="inventory.migrations",
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=effects(database.engine, metrics),
        routes=routes,
        # A cancellation reaches an activity in the answer to a heartbeat, and the SDK would hold most of those back.
        worker_options={"max_heartbeat_throttle_interval": timedelta(seconds=BEAT_SECONDS)},
        background=background,
        schedules=schedules(settings),
        registry=metrics.registry,
    )
