"""The composition root of payments."""

from chassis.connection import Connection
from chassis.database import Database
from chassis.http import HttpClient
from chassis.service import Service
from payments import registered
from payments.account_store import AccountStore
from payments.contract import TASK_QUEUE
from payments.gateway import Gateway
from payments.metrics import PaymentsMetrics
from payments.schedules import SCHEDULES
from payments.settings import Settings
from payments.store_credit import StoreCredit
from payments.workflows.registered import WORKFLOWS


def compose(settings: Settings, connection: Connection) -> Service:
    """Put payments together."""
    database, metrics = Database(settings.database_url, pool_size=settings.database_pool), PaymentsMetrics()
    http = HttpClient(timeout_seconds=settings.gateway_seconds)
    gateway = Gateway(settings.gateway_url, http)
    credit = StoreCredit(connection, AccountStore(database.engine, metrics))
    return Service(
        name="payments",
        settings=settings,
        connection=connection,
        database=database,
        migrations="payments.migrations",
        task_queue=TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=registered.activities(database.engine, gateway, credit, metrics),
        routes=registered.routes(database.engine, credit, metrics, settings.operator_token),
        # The gateway's limit holds for the queue, that is for all replicas together.
        worker_options={"max_task_queue_activities_per_second": settings.gateway_rate},
        schedules=SCHEDULES,
        clients=[http],
        providers={"gateway": settings.gateway_url},
        registry=metrics.registry,
    )
