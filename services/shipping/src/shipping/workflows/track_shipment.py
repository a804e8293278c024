"""TrackShipment: follows one parcel, for months if need be."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.workflow import ActivityCancellationType

from shipping import contract

with workflow.unsafe.imports_passed_through():
    from chassis import apart, versioning
    from chassis.local_first import local_first
    from shipping.activities import Activities, Ask, Look
    from shipping.delivery import Progress, Sighting

RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=0.2),
    maximum_interval=timedelta(seconds=10),
    non_retryable_error_types=[contract.Refusal.NOT_BOOKED, contract.Refusal.SHIPMENT_CANCELLED],
)
LOOKING = workflow.ActivityConfig(start_to_close_timeout=timedelta(seconds=10), retry_policy=RETRY)

PROGRESS = "progress"
"""Key of the memo that one run leaves to the next."""


@workflow.defn(name="shipping.TrackShipment", versioning_behavior=versioning.lasting())
class TrackShipment(contract.TrackShipment):
    """Looks at what is stored when it starts and whenever it is told to; asks the carrier when it hears nothing.

    One timer runs at a time, to whatever comes first: the end of its patience or the promised delivery. Every event
    cancels it and starts another, which the event may have moved.
    """

    own_trace: Final = apart.ALWAYS

    def __init__(self) -> None:
        """Begin with a look."""
        self._look_again = True

    @workflow.signal(name=contract.LOOK_AGAIN)
    def look_again(self) -> None:
        """Something new is stored. The signal carries no state: signals may come twice, late, or not at all."""
        self._look_again = True

    @workflow.run
    async def run(self, request: contract.TrackRequest) -> contract.Delivery:
        """Follow the parcel to its last state.

        Args:
            request: Which parcel, and the limits of patience.

        Raises:
            ApplicationError: ``not_booked`` or ``shipment_cancelled``.
        """
        now = workflow.now()
        # An earlier run leaves where it was in the memo: the contract's argument stays what the caller gave.
        known = workflow.memo_value(PROGRESS, default=None, type_hint=Progress) or Progress(Sighting(), now, now)
        while known.seen.state not in contract.FINAL_STATES:
            promise, patience = _promise(known), _patience(request, known)
            late = promise is not None and promise <= patience
            if await self._silent_until(promise if promise is not None and late else patience):
                known = await self._ask(request, known, promise if late else None)
            else:
                # Before the look, so that a signal during it leads to another.
                self._look_again = False
                seen = await self._look(request)
                known = await self._learn(request, known, seen)
            if workflow.info().is_continue_as_new_suggested() and known.seen.state not in contract.FINAL_STATES:
                # A signal in between is not lost: the next run begins with a look.
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(request, memo={PROGRESS: known})
        return _delivery(request, known)

    async def _look(self, request: contract.TrackRequest) -> Sighting:
        try:
            return await local_first(Activities.look, Look(request.order_id, request.parcel), LOOKING)
        except ApplicationError as error:
            # Whoever expects our books to be put right has the whole workflow tried again.
            raise ApplicationError(error.message, type=error.type) from error

    async def _silent_until(self, deadline: datetime) -> bool:
        """Wait for news, or for the deadline. An event cancels the timer; the next one starts from what it says."""
        if self._look_again:
            return False
        try:
            await workflow.wait_condition(
                lambda: self._look_again, timeout=max(deadline - workflow.now(), timedelta(0))
            )
        except TimeoutError:
            return True
        return False

    async def _ask(self, request: contract.TrackRequest, known: Progress, promise: datetime | None) -> Progress:
        """Ask the carrier, since nothing was heard or the promise passed; what it says may put either right."""
        now = workflow.now()
        seen = await workflow.execute_activity_method(
            Activities.ask,
            Ask(
                request.order_id,
                request.parcel,
                at=now,
                silent_since=known.heard,
                events=known.seen.events,
                give_up=now >= known.heard + timedelta(seconds=request.lost_seconds),
                promised_at=promise,
            ),
            # One call to the carrier of 5 s, and the database.
            start_to_close_timeout=timedelta(seconds=15),
            retry_policy=RETRY,
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        return await self._learn(request, replace(known, asked=workflow.now()), seen, missed=promise)

    async def _learn(
        self, request: contract.TrackRequest, known: Progress, seen: Sighting, missed: datetime | None = None
    ) -> Progress:
        """Take in what was seen; more events than before are news, whatever they say. Tell the parent of a change."""
        if missed is None or seen.state in contract.FINAL_STATES:
            # A parcel that turns out to have arrived is not late: only the news of it was.
            missed = known.missed
        learnt = replace(known, seen=seen, missed=missed)
        if seen.events > known.seen.events:
            learnt = replace(learnt, heard=workflow.now(), asked=workflow.now())
        if (seen.state, learnt.late) != (known.seen.state, known.late):
            await _tell_parent(_delivery(request, learnt))
        return learnt


def _promise(known: Progress) -> datetime | None:
    """When the promise passes, unless there is none, or it passed already.

    A history from before there were promises has none: it replays with the timers that it had.
    """
    return None if known.late else known.seen.promised_at


def _patience(request: contract.TrackRequest, known: Progress) -> datetime:
    """When to ask the carrier if nothing is heard."""
    return min(
        known.asked + timedelta(seconds=request.silence_seconds),
        known.heard + timedelta(seconds=request.lost_seconds),
    )


def _delivery(request: contract.TrackRequest, known: Progress) -> contract.Delivery:
    return contract.Delivery(
        request.order_id,
        request.parcel,
        contract.DeliveryState(known.seen.state),
        known.seen.at or workflow.now(),
        promised_at=known.seen.promised_at,
        late=known.late,
    )


async def _tell_parent(delivery: contract.Delivery) -> None:
    parent = workflow.info().parent
    if parent is None:
        return
    # Without a run id: a parent that continued as new is still the parent.
    handle = workflow.get_external_workflow_handle(parent.workflow_id)
    try:
        await handle.signal(contract.DELIVERY_PROGRESSED, delivery)
    except ApplicationError as error:
        # The parent may be gone; the parcel is followed all the same, and our books keep its state.
        workflow.logger.info("the parent was not told: %s", error)
