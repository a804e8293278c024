"""What inventory does again and again."""

from collections.abc import Sequence
from datetime import timedelta

from chassis.schedules import ServiceSchedule
from inventory import contract, jobs
from inventory.activities import ExpiryBatch
from inventory.settings import Settings
from inventory.workflows import release_expired_holds


def schedules(settings: Settings) -> Sequence[ServiceSchedule]:
    """The schedules, as the settings want them."""
    return [
        ServiceSchedule(
            "release-expired-holds",
            release_expired_holds.NAME,
            contract.TASK_QUEUE,
            every=timedelta(seconds=settings.expiry_seconds),
            args=[ExpiryBatch(settings.expiry_batch)],
            note="sets the units of holds free that ran out",
        ),
        ServiceSchedule(
            "reconcile-stock",
            jobs.RECONCILE_STOCK,
            contract.TASK_QUEUE,
            every=timedelta(seconds=settings.reconcile_seconds),
            note="checks the stock against movements and holds",
        ),
    ]
