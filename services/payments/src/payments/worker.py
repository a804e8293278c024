"""The composition root of payments."""

from chassis.connection import Connection
from chassis.database import Database
from chassis.http import HttpClient
from chassis.serving import Service
from payments import api
from payments.account_activities import AccountActivities
from payments.account_api import AccountApi
from payments.account_store import AccountStore
from payments.activities import Activities
from payments.contract import TASK_QUEUE
from payments.credit_payments import CreditPayments
from payments.gateway import Gateway
from payments.settings import Settings
from payments.store import Store
from payments.store_credit import StoreCredit
from payments.workflows.registered import WORKFLOWS


def compose(settings: Settings, connection: Connection) -> Service:
    """Put payments together."""
    database = Database(settings.database_url, pool_size=settings.database_pool)
    http = HttpClient(timeout_seconds=settings.gateway_seconds)
    store, accounts = Store(database.engine), AccountStore(database.engine)
    credit = StoreCredit(connection, accounts)
    activities = Activities(store, Gateway(settings.gateway_url, http), CreditPayments(store, credit))
    token = settings.operator_token
    return Service(
        name="payments",
        settings=settings,
        connection=connection,
        database=database,
        migrations="payments.migrations",
        task_queue=TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=[*activities.all(), *AccountActivities(accounts).all()],
        routes=[*api.routes(store, token), *AccountApi(accounts, credit).routes(token)],
        # The gateway's limit holds for the queue, that is for all replicas together.
        worker_options={"max_task_queue_activities_per_second": settings.gateway_rate},
        clients=[http],
        providers={"gateway": settings.gateway_url},
    )
