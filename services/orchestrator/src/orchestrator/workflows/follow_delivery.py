"""What happens after an order is paid: its parcels travel, for days or months, and then the customer is asked."""

import asyncio
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from chassis import apart, versioning
    from chassis.local_first import local_first
    from orchestrator import contract
    from orchestrator.activities import Activities, Message
    from orchestrator.contracts import shipping
    from orchestrator.states import DeliveryState
    from orchestrator.workflows.options import MESSAGE_TIMEOUT, PATIENT, RECORD
    from orchestrator.workflows.saga import pauses

TRACK_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=5), maximum_interval=timedelta(hours=1))


@workflow.defn(name="orchestrator.FollowDelivery", versioning_behavior=versioning.lasting())
class FollowDelivery(contract.FollowDelivery):
    """See the contract. It never touches the order's outcome."""

    own_trace: Final = apart.ALWAYS

    def __init__(self) -> None:
        self._order_id = ""
        self._parcels: dict[int, contract.ParcelDelivery] = {}
        self._written: dict[int, contract.ParcelDelivery] = {}
        self._sequence = 0

    @workflow.run
    async def run(self, request: contract.FollowRequest) -> contract.Deliveries:
        self._order_id = request.order_id
        tracks = [asyncio.create_task(self._track(number)) for number in range(1, request.parcels + 1)]
        while not all(track.done() for track in tracks) or self._parcels != self._written:
            await workflow.wait_condition(
                lambda: self._parcels != self._written or all(track.done() for track in tracks)
            )
            if self._parcels != self._written:
                await self._write()
        for track in tracks:
            track.result()
        if all(parcel.state == shipping.DeliveryState.DELIVERED for parcel in self._parcels.values()):
            await workflow.sleep(timedelta(seconds=request.review_seconds))
            await self._ask_for_review(request.email)
        return self._deliveries

    async def _track(self, number: int) -> None:
        for pause in pauses():
            try:
                delivery = await workflow.execute_child_workflow(
                    shipping.TrackShipment.run,
                    shipping.TrackRequest(self._order_id, number),
                    id=shipping.track_id(self._order_id, number),
                    task_queue=shipping.TASK_QUEUE,
                    retry_policy=TRACK_RETRIES,
                    # Where a parcel is concerns shipping also when nobody here asks any more.
                    parent_close_policy=ParentClosePolicy.ABANDON,
                )
            except WorkflowAlreadyStartedError:
                # It goes on from before this one was reset, and its signals still come here. Once it has ended, a new
                # one says how.
                await workflow.sleep(pause)
            else:
                break
        self._note(delivery)

    @workflow.signal(name=shipping.DELIVERY_PROGRESSED)
    def delivery_progressed(self, delivery: shipping.Delivery) -> None:
        """What TrackShipment says on the way."""
        self._note(delivery)

    def _note(self, delivery: shipping.Delivery) -> None:
        self._parcels[delivery.parcel] = contract.ParcelDelivery(delivery.parcel, delivery.state, delivery.at)

    @property
    def _deliveries(self) -> contract.Deliveries:
        return contract.Deliveries(self._order_id, tuple(self._parcels[number] for number in sorted(self._parcels)))

    async def _write(self) -> None:
        now = dict(self._parcels)
        self._sequence = max(self._sequence + 1, workflow.time_ns() // 1000)
        await local_first(
            Activities.record_delivery,
            DeliveryState(
                self._order_id,
                self._sequence,
                tuple(
                    {"parcel": parcel.parcel, "state": parcel.state, "at": parcel.at.isoformat()}
                    for _, parcel in sorted(now.items())
                ),
            ),
            RECORD,
        )
        self._written = now

    async def _ask_for_review(self, email: str) -> None:
        await workflow.execute_activity_method(
            Activities.send_message,
            Message(
                self._order_id,
                "review",
                email,
                f"How was your order {self._order_id}?",
                "Tell us what you think of it.",
            ),
            start_to_close_timeout=MESSAGE_TIMEOUT,
            retry_policy=PATIENT,
        )
