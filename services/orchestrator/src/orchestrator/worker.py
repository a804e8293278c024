"""The composition root: what the orchestrator is made of."""

from chassis.connection import Connection
from chassis.database import Database
from chassis.service import Service
from orchestrator import contract
from orchestrator.importing import Importing
from orchestrator.metrics import QUEUES, OrchestratorMetrics
from orchestrator.ordering import Ordering
from orchestrator.reporting import Reporting
from orchestrator.settings import Settings
from orchestrator.workflows.registered import WORKFLOWS


def compose(settings: Settings, connection: Connection) -> Service:
    """Put the service together. Nothing connects yet."""
    database, metrics = Database(settings.database_url, pool_size=settings.database_pool), OrchestratorMetrics()
    ordering = Ordering(database.engine, connection, settings, metrics)
    importing = Importing(database.engine, connection, settings, metrics)
    reporting = Reporting(database.engine, settings)
    parts = (ordering, importing, reporting)
    return Service(
        name="orchestrator",
        settings=settings,
        connection=connection,
        database=database,
        migrations="orchestrator.migrations",
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=[activity for part in parts for activity in part.activities.all()],
        routes=[route for part in parts for route in part.routes()],
        schedules=reporting.schedules,
        background=[*ordering.background, importing.intake.run],
        clients=[ordering.http],
        providers={"mailbox": settings.mailbox_url},
        registry=metrics.registry,
        queues=QUEUES,
    )
