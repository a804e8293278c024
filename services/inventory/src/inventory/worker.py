"""The composition root: from settings to a service."""

from chassis.connection import Connection
from chassis.database import Database
from chassis.serving import Service
from inventory import contract
from inventory.activities import Activities
from inventory.applying import Applier
from inventory.counting import CountingStore
from inventory.import_activities import ImportActivities
from inventory.imports import ImportStore
from inventory.rounds import RoundStore
from inventory.schedules import schedules
from inventory.settings import Settings
from inventory.stocktake_activities import StocktakeActivities
from inventory.store import Store
from inventory.surface import surface
from inventory.workflows.registered import WORKFLOWS


def compose(settings: Settings, connection: Connection) -> Service:
    """Put inventory together."""
    database = Database(settings.database_url, pool_size=settings.database_pool)
    engine = database.engine
    routes, intake = surface(engine, connection, settings)
    importing = ImportActivities(ImportStore(engine), Applier(engine))
    counting = StocktakeActivities(CountingStore(engine), RoundStore(engine))
    return Service(
        name="inventory",
        settings=settings,
        connection=connection,
        database=database,
        migrations="inventory.migrations",
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=[*Activities(Store(engine)).all(), *importing.all(), *counting.all()],
        routes=routes,
        background=[intake.run],
        schedules=schedules(settings),
    )
