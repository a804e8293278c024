"""The composition root of payments."""

from chassis.connection import Connection
from chassis.database import Database
from chassis.http import HttpClient
from chassis.serving import Service
from payments import api
from payments.activities import Activities
from payments.contract import TASK_QUEUE
from payments.gateway import Gateway
from payments.settings import Settings
from payments.store import Store
from payments.workflows.authorise_payment import AuthorisePayment
from payments.workflows.capture_payment import CapturePayment
from payments.workflows.reverse_payment import ReversePayment


def compose(settings: Settings, connection: Connection) -> Service:
    """Put payments together."""
    database = Database(settings.database_url, pool_size=settings.database_pool)
    http = HttpClient(timeout_seconds=settings.gateway_seconds)
    store = Store(database.engine)
    activities = Activities(store, Gateway(settings.gateway_url, http))
    return Service(
        name="payments",
        settings=settings,
        connection=connection,
        database=database,
        migrations="payments.migrations",
        task_queue=TASK_QUEUE,
        workflows=[AuthorisePayment, CapturePayment, ReversePayment],
        activities=[activities.authorise, activities.capture, activities.void, activities.refund],
        routes=api.routes(store, settings.operator_token),
        # The gateway's limit holds for the queue, that is for all replicas together.
        worker_options={"max_task_queue_activities_per_second": settings.gateway_rate},
        clients=[http],
        providers={"gateway": settings.gateway_url},
    )
