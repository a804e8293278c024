"""One order, from stock to the carrier: a saga over three services' queues."""

import asyncio
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

# Contracts are data. They are passed through so that a ``datetime`` in them is the real one: the sandbox's stand-in for
# it is no type that the converter knows. ``from package import module`` still makes a copy of the module for the
# sandbox, so members of its enums are compared by value.
with workflow.unsafe.imports_passed_through():
    from chassis import apart
    from chassis.local_first import local_first
    from chassis.shielding import uninterrupted
    from orchestrator import contract
    from orchestrator.activities import Activities, Conclusion, Message
    from orchestrator.contract import Status
    from orchestrator.contracts import inventory, payments, shipping
    from orchestrator.states import State
    from orchestrator.workflows.approval import ApprovalWatch
    from orchestrator.workflows.endings import Stop, message_of, stop_of
    from orchestrator.workflows.journal import Found, Journal
    from orchestrator.workflows.options import CONCLUDE_TIMEOUT, PATIENT, RECORD
    from orchestrator.workflows.pricing import insist_on_limits, parcels_of
    from orchestrator.workflows.saga import Undo, report, settle, step, undo, unwind


@workflow.defn(name="orchestrator.FulfilOrder")
class FulfilOrder(contract.FulfilOrder):
    """See the contract. ``run`` is the whole story; each step is one method."""

    own_trace: Final = apart.AS_CHILD

    def __init__(self) -> None:
        self._given: contract.Order | None = None
        self._status = Status.ACCEPTED
        self._journal = Journal()
        self._reservation: inventory.Reservation | None = None
        self._parcels: tuple[shipping.Parcel, ...] = ()
        self._bookings: list[shipping.Booking] = []
        self._decision: contract.Decision | None = None
        self._approval: ApprovalWatch | None = None
        self._cancellation: contract.CancelRequest | None = None
        self._undos: list[Undo] = []
        self._way_to_the_pivot: asyncio.Task[None] | None = None

    @workflow.run
    async def run(self, order: contract.Order) -> contract.Outcome:
        self._given = order
        self._way_to_the_pivot = asyncio.create_task(self._until_the_pivot())
        try:
            # A cancellation, Temporal's or the customer's, cancels this task; it ends when its steps have ended.
            await self._way_to_the_pivot
            self._checkpoint()
            # Nothing is awaited between the checkpoint and here: from now on cancellations are refused or ignored.
            self._status = Status.CAPTURING
            await uninterrupted(self._capture())
        except workflow.NondeterminismError:
            raise
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - an order that hangs would hold its stock
            return await self._stop(error)
        return await uninterrupted(self._finish())

    async def _until_the_pivot(self) -> None:
        """All that can be undone."""
        await self._reserve()
        await self._approve()
        await self._authorise_and_plan()
        await self._commit()

    async def _reserve(self) -> None:
        self._pass_through(Status.RESERVING)
        order = self._order
        self._undos.append(self._release)
        reservation = await step(
            inventory.ReserveStock.run,
            inventory.ReserveRequest(
                order_id=order.order_id,
                currency=order.currency,
                lines=tuple(inventory.Line(line.sku, line.quantity) for line in order.lines),
                allow_partial=order.allow_partial,
                hold_seconds=order.approval_seconds + int(contract.HOLD_RESERVE.total_seconds()),
            ),
            id=inventory.reserve_id(order.order_id),
            task_queue=inventory.TASK_QUEUE,
            backstop=inventory.EXECUTION_TIMEOUT,
        )
        self._reservation = reservation
        self._checkpoint()
        insist_on_limits(order, reservation)
        self._parcels = parcels_of(reservation)

    async def _approve(self) -> None:
        order, total = self._order, self._reserved.total
        if total <= order.approval_threshold:
            return
        watch = ApprovalWatch(order, total, self._record)
        self._approval = watch
        await self._enter(Status.AWAITING_APPROVAL, detail=f"The total of {total} is above {order.approval_threshold}.")
        with watch:
            try:
                await workflow.wait_condition(
                    lambda: self._decision is not None, timeout=timedelta(seconds=order.approval_seconds)
                )
            except TimeoutError:  # the built-in one: see the module asyncio
                raise ApplicationError(
                    f"Nobody approved it within {order.approval_seconds} s.",
                    type=contract.Refusal.APPROVAL_TIMED_OUT,
                    non_retryable=True,
                ) from None
        self._checkpoint()
        decision = self._decision
        if decision is not None and not decision.approved:
            raise ApplicationError(
                f"{decision.approver} refused it{f': {decision.note}' if decision.note else '.'}",
                type=contract.Refusal.APPROVAL_REFUSED,
                non_retryable=True,
            )

    async def _authorise_and_plan(self) -> None:
        await self._enter(Status.AUTHORISING)
        self._undos.append(self._reverse)
        order, reservation = self._order, self._reserved
        authorise = asyncio.create_task(
            step(
                payments.AuthorisePayment.run,
                payments.AuthoriseRequest(
                    order.order_id, reservation.total, order.currency, order.card_token, order.account_id
                ),
                id=payments.authorise_id(order.order_id),
                task_queue=payments.TASK_QUEUE,
                backstop=payments.EXECUTION_TIMEOUT,
            )
        )
        plan = asyncio.create_task(
            step(
                shipping.PlanShipment.run,
                shipping.PlanRequest(order.order_id, order.currency, self._parcels, self._address),
                id=shipping.plan_id(order.order_id),
                task_queue=shipping.TASK_QUEUE,
                backstop=shipping.EXECUTION_TIMEOUT,
            )
        )
        await settle([authorise, plan])
        self._checkpoint()
        await self._book(plan.result())

    async def _book(self, plan: shipping.Plan) -> None:
        await self._enter(Status.BOOKING)
        self._undos.append(self._cancel_shipment)
        order_id = self._order.order_id
        bookings = [
            asyncio.create_task(
                step(
                    shipping.BookShipment.run,
                    shipping.BookRequest(order_id, planned, self._address),
                    id=shipping.book_id(order_id, planned.parcel.number),
                    task_queue=shipping.TASK_QUEUE,
                    backstop=shipping.EXECUTION_TIMEOUT,
                )
            )
            for planned in plan.parcels
        ]
        await settle(bookings)
        self._bookings = [booking.result() for booking in bookings]
        self._checkpoint()

    async def _commit(self) -> None:
        self._pass_through(Status.COMMITTING)
        # Its undo is the reservation's: ReleaseStock puts committed units back too.
        await step(
            inventory.CommitStock.run,
            inventory.CommitRequest(self._order.order_id),
            id=inventory.commit_id(self._order.order_id),
            task_queue=inventory.TASK_QUEUE,
            backstop=inventory.EXECUTION_TIMEOUT,
        )

    async def _capture(self) -> None:
        """The pivot. Its outcome is waited for without limit: until it is known neither way can be taken."""
        await self._record()
        await step(
            payments.CapturePayment.run,
            payments.CaptureRequest(self._order.order_id),
            id=payments.capture_id(self._order.order_id),
            task_queue=payments.TASK_QUEUE,
            backstop=None,
        )

    async def _finish(self) -> contract.Outcome:
        """Only forward."""
        self._status = Status.PARTIALLY_FULFILLED if self._reserved.missing else Status.FULFILLED
        outcome = contract.Outcome(
            self._order.order_id,
            self._status,
            total=self._reserved.total,
            tracking_numbers=self._tracking_numbers,
            missing=tuple(contract.OrderLine(line.sku, line.quantity) for line in self._reserved.missing),
        )
        await settle([asyncio.create_task(self._leave_follow_delivery()), asyncio.create_task(self._conclude(outcome))])
        return outcome

    async def _leave_follow_delivery(self) -> None:
        order = self._order
        try:
            await workflow.start_child_workflow(
                "orchestrator.FollowDelivery",
                contract.FollowRequest(order.order_id, len(self._parcels), order.email, order.review_seconds),
                id=contract.follow_id(order.order_id),
                task_queue=contract.TASK_QUEUE,
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("the delivery is followed already: this run was reset")

    async def _stop(self, error: BaseException) -> contract.Outcome:
        """Undo, tell, and end: with a result or, if Temporal cancelled, as cancelled."""
        operator = workflow.cancellation_reason()
        stop = stop_of(error, self._cancellation, operator)
        if stop.status == Status.FAILED:
            report(error)
        outcome = await uninterrupted(self._unwind(stop))
        if outcome.status == Status.CANCELLED and workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError
        return outcome

    async def _unwind(self, stop: Stop) -> contract.Outcome:
        await self._enter(Status.COMPENSATING, stop.reason, stop.detail)
        await unwind(self._undos, stop.reason)
        self._status = stop.status
        outcome = contract.Outcome(self._order.order_id, stop.status, stop.reason, stop.detail)
        await self._conclude(outcome)
        return outcome

    async def _release(self, reason: str) -> None:
        await undo(
            inventory.ReleaseStock.run,
            inventory.Undo(self._order.order_id, reason),
            id=inventory.release_id(self._order.order_id),
            task_queue=inventory.TASK_QUEUE,
        )

    async def _reverse(self, reason: str) -> None:
        await undo(
            payments.ReversePayment.run,
            payments.Undo(self._order.order_id, reason),
            id=payments.reverse_id(self._order.order_id),
            task_queue=payments.TASK_QUEUE,
        )

    async def _cancel_shipment(self, reason: str) -> None:
        await undo(
            shipping.CancelShipment.run,
            shipping.Undo(self._order.order_id, reason),
            id=shipping.cancel_id(self._order.order_id),
            task_queue=shipping.TASK_QUEUE,
        )

    @workflow.update
    async def decide(self, decision: contract.Decision) -> contract.Progress:  # type: ignore[override] # temporalio ties it to the class
        """See the contract. The same decision again is no new one."""
        if self._decision is None and self._approval is not None:
            self._approval.decided(decision)
        self._decision = decision
        return self.progress()

    @decide.validator
    def _decide_validator(self, decision: contract.Decision) -> None:
        if self._decision == decision:
            return
        if self._status != Status.AWAITING_APPROVAL or self._decision is not None or self._cancellation is not None:
            raise ApplicationError(
                f"The order is {self._status} and does not wait for an approval.",
                type=contract.Refusal.NOT_AWAITING_APPROVAL,
            )

    @workflow.update
    async def cancel(self, request: contract.CancelRequest) -> contract.Progress:  # type: ignore[override] # temporalio ties it to the class
        """See the contract. A second cancellation joins the first."""
        # An update that comes with the start is handled before ``run`` has its order.
        await workflow.wait_condition(lambda: self._given is not None)
        if self._cancellation is None:
            self._cancellation = request
            if self._way_to_the_pivot is not None:
                self._way_to_the_pivot.cancel()
        return self.progress()

    @cancel.validator
    def _cancel_validator(self, request: contract.CancelRequest) -> None:  # noqa: ARG002 - temporalio passes it
        if self._cancellation is None and (
            self._status in contract.FINISHED or self._status in (Status.CAPTURING, Status.COMPENSATING)
        ):
            raise ApplicationError(
                f"The order is {self._status} and can no longer be cancelled.",
                type=contract.Refusal.TOO_LATE_TO_CANCEL,
            )

    @workflow.query
    def progress(self) -> contract.Progress:
        """See the contract."""
        total = None if self._reservation is None else self._reservation.total
        approval = None if self._approval is None else self._approval.approval
        return contract.Progress(self._order.order_id, self._status, total, self._decision, approval)

    def _checkpoint(self) -> None:
        """Look for a cancellation that vanished because the step it hit completed all the same."""
        if self._cancellation is not None or workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError

    @property
    def _order(self) -> contract.Order:
        if self._given is None:
            raise ApplicationError("the order has not begun yet", non_retryable=True)
        return self._given

    @property
    def _reserved(self) -> inventory.Reservation:
        if self._reservation is None:
            raise ApplicationError("there is no reservation yet", non_retryable=True)
        return self._reservation

    @property
    def _address(self) -> shipping.Address:
        address = self._order.address
        return shipping.Address(address.name, address.street, address.city, address.postcode, address.country)

    @property
    def _tracking_numbers(self) -> tuple[str, ...]:
        return tuple(booking.tracking_number for booking in self._bookings)

    async def _enter(self, status: Status, reason: str | None = None, detail: str | None = None) -> None:
        """Go to a state, and write it where customers see it."""
        self._status = status
        await self._record(reason, detail)

    def _pass_through(self, status: Status) -> None:
        """Go to a state that the next write tells of too.

        That stock is being reserved is written by the intake already, and committing takes a moment.
        """
        self._status = status
        self._journal.passed(status)

    async def _record(self, reason: str | None = None, detail: str | None = None) -> None:
        await local_first(Activities.record_state, self._state(reason, detail), RECORD)

    async def _conclude(self, outcome: contract.Outcome) -> None:
        """Write the end, and tell the customer: one activity, which is tried until both are done."""
        subject, body = message_of(self._order, outcome)
        message = Message(self._order.order_id, outcome.status, self._order.email, subject, body)
        await workflow.execute_activity_method(
            Activities.conclude,
            Conclusion(self._state(outcome.reason, outcome.detail), message),
            start_to_close_timeout=CONCLUDE_TIMEOUT,
            retry_policy=PATIENT,
        )

    def _state(self, reason: str | None, detail: str | None) -> State:
        approval = None if self._approval is None else self._approval.document()
        found = Found(self._reservation, len(self._parcels), self._tracking_numbers, self._decision, approval)
        return self._journal.state(self._order, self._status, found, reason, detail)
