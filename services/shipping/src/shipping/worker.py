"""The composition root: settings → store → activities → chassis."""

from chassis.connection import Connection
from chassis.database import Database
from chassis.http import HttpClient
from chassis.serving import Service
from shipping import contract, pick_activities, pick_api, picks
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
    db = Database(settings.database_url, pool_size=settings.database_pool)
    http = HttpClient(timeout_seconds=CALL_SECONDS)
    store, reports, waves = Store(db.engine), Reports(db.engine), picks.Picks(db.engine)
    terms = Terms(settings.carriers, settings.quote_seconds, settings.carrier_quote_seconds)
    activities = Activities(store, reports, Carriers(http, settings.carriers_url), terms, settings.promise)
    relay = Relay(reports)
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
        routes=[*Api(store, reports, relay, settings.webhook_secret, settings.operator_token).routes(), *desk.routes()],
        background=[relay.run, desk.run],
        clients=[http],
        providers={"carriers": settings.carriers_url},
    )
