"""The composition root: settings → store → activities → chassis."""

from chassis.connection import Connection
from chassis.database import Database
from chassis.http import HttpClient
from chassis.serving import Service
from shipping import contract
from shipping.activities import Activities, Terms
from shipping.api import Api
from shipping.carriers import CALL_SECONDS, Carriers
from shipping.relay import Relay
from shipping.reports import Reports
from shipping.settings import Settings
from shipping.store import Store
from shipping.workflows import WORKFLOWS


def compose(settings: Settings, connection: Connection) -> Service:
    """Put the service together; nothing connects yet."""
    database = Database(settings.database_url, pool_size=settings.database_pool)
    store, reports, http = Store(database.engine), Reports(database.engine), HttpClient(timeout_seconds=CALL_SECONDS)
    carriers = Carriers(http, settings.carriers_url)
    relay = Relay(reports)
    terms = Terms(settings.carriers, settings.quote_seconds, settings.carrier_quote_seconds)
    return Service(
        name="shipping",
        settings=settings,
        connection=connection,
        database=database,
        migrations="shipping.migrations",
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=Activities(store, reports, carriers, terms, settings.promise).all(),
        routes=Api(store, reports, relay, settings.webhook_secret, settings.operator_token).routes(),
        background=[relay.run],
        clients=[http],
        providers={"carriers": settings.carriers_url},
    )
