"""The composition root: what the orchestrator is made of."""

from chassis.connection import Connection
from chassis.database import Database
from chassis.http import HttpClient
from chassis.serving import Service
from orchestrator import contract
from orchestrator.activities import Activities
from orchestrator.api import Api
from orchestrator.importing import Importing
from orchestrator.intake import Intake
from orchestrator.reporting import Reporting
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.workflows.registered import WORKFLOWS


def compose(settings: Settings, connection: Connection) -> Service:
    """Put the service together. Nothing connects yet."""
    database = Database(settings.database_url, pool_size=settings.database_pool)
    store = Store(database.engine)
    http = HttpClient(timeout_seconds=settings.mailbox_seconds)
    activities = Activities(store, http, settings.mailbox_url, settings.approvers).all()
    intake = Intake(store, connection, **settings.intake)
    importing, reporting = Importing(database.engine, connection, settings), Reporting(database.engine, settings)
    return Service(
        name="orchestrator",
        settings=settings,
        connection=connection,
        database=database,
        migrations="orchestrator.migrations",
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=[*activities, *importing.activities.all(), *reporting.activities.all()],
        routes=[*Api(store, intake, connection, settings).routes(), *importing.routes(), *reporting.routes()],
        schedules=reporting.schedules,
        background=[*intake.loops, importing.intake.run],
        clients=[http],
        providers={"mailbox": settings.mailbox_url},
    )
