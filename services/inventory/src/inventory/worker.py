"""The composition root: from settings to a service."""

from datetime import timedelta

from chassis.connection import Connection
from chassis.database import Database
from chassis.schedules import ServiceSchedule
from chassis.serving import Service
from inventory import api, contract
from inventory.activities import Activities, ExpiryBatch
from inventory.books import Books
from inventory.settings import Settings
from inventory.store import Store
from inventory.workflows import release_expired_holds
from inventory.workflows.commit_stock import CommitStock
from inventory.workflows.release_stock import ReleaseStock
from inventory.workflows.reserve_stock import ReserveStock


def compose(settings: Settings, connection: Connection) -> Service:
    """Put inventory together."""
    database = Database(settings.database_url, pool_size=settings.database_pool)
    activities = Activities(Store(database.engine))
    every = timedelta(seconds=settings.expiry_seconds)
    args = [ExpiryBatch(settings.expiry_batch)]
    queue = contract.TASK_QUEUE
    return Service(
        name="inventory",
        settings=settings,
        connection=connection,
        database=database,
        migrations="inventory.migrations",
        task_queue=queue,
        workflows=[ReserveStock, CommitStock, ReleaseStock, release_expired_holds.ReleaseExpiredHolds],
        activities=[activities.reserve, activities.commit, activities.release, activities.release_expired],
        routes=api.routes(Books(database.engine), settings.operator_token),
        schedules=[ServiceSchedule("release-expired-holds", release_expired_holds.NAME, queue, every, args)],
    )
