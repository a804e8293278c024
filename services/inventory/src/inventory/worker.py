"""The composition root: from settings to a service."""

from chassis.connection import Connection
from chassis.database import Database
from chassis.serving import Service
from inventory import api, contract
from inventory.activities import Activities
from inventory.applying import Applier
from inventory.books import Books
from inventory.import_activities import ImportActivities
from inventory.imports import ImportStore
from inventory.imports_api import ImportsApi
from inventory.intake import Intake
from inventory.schedules import schedules
from inventory.settings import Settings
from inventory.staging import Staging
from inventory.store import Store
from inventory.workflows.registered import WORKFLOWS


def compose(settings: Settings, connection: Connection) -> Service:
    """Put inventory together."""
    database = Database(settings.database_url, pool_size=settings.database_pool)
    engine = database.engine
    imports = ImportStore(engine)
    imports_api = ImportsApi(imports, Staging(engine, settings), connection, settings)
    return Service(
        name="inventory",
        settings=settings,
        connection=connection,
        database=database,
        migrations="inventory.migrations",
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=[*Activities(Store(engine)).all(), *ImportActivities(imports, Applier(engine)).all()],
        routes=[*api.routes(Books(engine), settings.operator_token), *imports_api.routes()],
        background=[Intake(connection, settings, [imports_api.kind]).run],
        schedules=schedules(settings),
    )
