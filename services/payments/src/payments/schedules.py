"""What payments has Temporal start by itself."""

from datetime import timedelta

from temporalio.client import ScheduleOverlapPolicy

from chassis.schedules import ServiceSchedule
from payments.contract import TASK_QUEUE
from payments.settlement_terms import CUTOFF, SettleRequest

SCHEDULES = [
    ServiceSchedule(
        id="settle-payments",
        workflow="payments.SettlePayments",
        task_queue=TASK_QUEUE,
        cron=f"0 {CUTOFF.hour} * * MON-FRI",
        args=[SettleRequest()],
        # Not skipped: each weekday has its document, also where the one before hung until the next was due. They wait
        # for each other, so that a day's bookings are in its own document.
        overlap=ScheduleOverlapPolicy.BUFFER_ONE,
        # Friday's is made up if Temporal comes back within the weekend, or on Monday or Tuesday.
        catchup=timedelta(days=4),
        note="The settlement of a weekday's captured and refunded money",
    )
]
