"""The composition root: settings → store → activities → chassis."""

from chassis.connection import Connection
from chassis.database import Database
from chassis.http import HttpClient
from chassis.service import Service
from shipping import contract, metrics, pick_activities, pick_api, picks, relay, reports
from shipping.activities import Activities, Terms
from shipping.api import Api
from shipping.carriers import CALL_SECONDS, Carriers
from shipping.settings import Settings
from shipping.store import Store
from shipping.workflows import WORKFLOWS


def compose(settings: Settings, connection: Connection) -> Service:
    """Put the service together; nothing connects yet."""
    db = Database(settings.database_url, pool_size=settings.database_pool)
    http, counts = HttpClient(timeout_seconds=CALL_SECONDS), metrics.ShippingMetrics(settings.carriers)
    store, heard, waves = Store(db.engine, counts), reports.Reports(db.engine, counts), picks.Picks(db.engine, counts)
    terms = Terms(settings.carriers, settings.quote_seconds, settings.carrier_quote_seconds)
    carriers, told = Carriers(http, settings.carriers_url), relay.Relay(heard)
    activities = Activities(store, heard, carriers, terms, counts, promise=settings.promise)
    api = Api(store, heard, told, settings.webhook_secret, settings.operator_token)
    desk = pick_api.PickDesk(waves, connection, settings.operator_token, settings.pick_lease_seconds)
    return Service(
        name="shipping",
        settings=settings,
        connection=connection,
        database=db,
        migrations="shipping.migrations",
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=[*activities.all(), *pick_activities.PickActivities(waves, settings.pick_seconds).all()],
        routes=[*api.routes(), *desk.routes()],
        background=[told.run, desk.run],
        clients=[http],
        providers={"carriers": settings.carriers_url},
        registry=counts.registry,
    )
