"""The other services as fakes on their real queues, under their wire names; and a shop's shelf to fill them with."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.workflow import ActivityCancellationType

from chassis.guard import ArgumentGuard
from chassis.testing.waiting import eventually
from orchestrator import contract
from orchestrator.activities import Conclusion, Message, Reminder
from orchestrator.contracts import inventory, payments, shipping
from orchestrator.states import DeliveryState, State
from orchestrator.workflows.follow_delivery import FollowDelivery
from orchestrator.workflows.fulfil_order import FulfilOrder

STEP = "fake.step"
FINAL = "Final"
"""Type of the refusal after which the whole fake workflow is not tried again."""


async def act(name: str, argument: Any, result: Any) -> Any:
    """What every fake workflow does: ask the world, and wait for its word also when cancelled."""
    try:
        return await workflow.execute_activity(
            STEP,
            args=[name, argument.order_id],
            result_type=result,
            start_to_close_timeout=timedelta(hours=1),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50)),
        )
    except ActivityError as error:
        if isinstance(error.cause, ApplicationError) and error.cause.type == FINAL:
            # An activity's failure is no word on its workflow, which is tried again. This is.
            raise ApplicationError("no more of this", type=FINAL, non_retryable=True) from error
        raise


@workflow.defn(name="inventory.ReserveStock", sandboxed=False)
class FakeReserveStock(inventory.ReserveStock):
    @workflow.run
    async def run(self, request: inventory.ReserveRequest) -> inventory.Reservation:
        name = "reserve_part" if request.allow_partial else "reserve"
        return await act(name, request, inventory.Reservation)  # type: ignore[no-any-return]


@workflow.defn(name="inventory.CommitStock", sandboxed=False)
class FakeCommitStock(inventory.CommitStock):
    @workflow.run
    async def run(self, request: inventory.CommitRequest) -> inventory.Committed:
        return await act("commit", request, Any)  # type: ignore[no-any-return]


@workflow.defn(name="inventory.ReleaseStock", sandboxed=False)
class FakeReleaseStock(inventory.ReleaseStock):
    @workflow.run
    async def run(self, undo: inventory.Undo) -> inventory.Released:
        return await act("release", undo, inventory.Released)  # type: ignore[no-any-return]


@workflow.defn(name="payments.AuthorisePayment", sandboxed=False)
class FakeAuthorisePayment(payments.AuthorisePayment):
    @workflow.run
    async def run(self, request: payments.AuthoriseRequest) -> payments.Authorisation:
        return await act("authorise", request, Any)  # type: ignore[no-any-return]


@workflow.defn(name="payments.CapturePayment", sandboxed=False)
class FakeCapturePayment(payments.CapturePayment):
    @workflow.run
    async def run(self, request: payments.CaptureRequest) -> payments.Capture:
        return await act("capture", request, Any)  # type: ignore[no-any-return]


@workflow.defn(name="payments.ReversePayment", sandboxed=False)
class FakeReversePayment(payments.ReversePayment):
    @workflow.run
    async def run(self, undo: payments.Undo) -> payments.Reversed:
        return await act("reverse", undo, Any)  # type: ignore[no-any-return]


@workflow.defn(name="shipping.PlanShipment", sandboxed=False)
class FakePlanShipment(shipping.PlanShipment):
    @workflow.run
    async def run(self, request: shipping.PlanRequest) -> shipping.Plan:
        await act("plan", request, dict)
        planned = tuple(shipping.PlannedParcel(parcel, "budget", 400) for parcel in request.parcels)
        return shipping.Plan(request.order_id, request.currency, planned)


@workflow.defn(name="shipping.BookShipment", sandboxed=False)
class FakeBookShipment(shipping.BookShipment):
    @workflow.run
    async def run(self, request: shipping.BookRequest) -> shipping.Booking:
        number = request.planned.parcel.number
        await act(f"book_{number}", request, dict)
        return shipping.Booking(request.order_id, number, "budget", f"B-{request.order_id}-{number}")


@workflow.defn(name="shipping.CancelShipment", sandboxed=False)
class FakeCancelShipment(shipping.CancelShipment):
    @workflow.run
    async def run(self, undo: shipping.Undo) -> shipping.Cancelled:
        return await act("cancel_shipment", undo, shipping.Cancelled)  # type: ignore[no-any-return]


@workflow.defn(name="shipping.TrackShipment", sandboxed=False)
class FakeTrackShipment(shipping.TrackShipment):
    @workflow.run
    async def run(self, request: shipping.TrackRequest) -> shipping.Delivery:
        parent = workflow.info().parent
        assert parent is not None
        handle = workflow.get_external_workflow_handle(parent.workflow_id)
        picked_up = shipping.Delivery(
            request.order_id, request.parcel, shipping.DeliveryState.PICKED_UP, workflow.now()
        )
        await handle.signal(shipping.DELIVERY_PROGRESSED, picked_up)
        await act(f"track_{request.parcel}", request, dict)
        return shipping.Delivery(request.order_id, request.parcel, shipping.DeliveryState.DELIVERED, workflow.now())


@dataclass
class Fate:
    """What becomes of one step of one order, one attempt after the other; afterwards it succeeds.

    Attributes:
        refusals: Before it takes effect.
        losses: After it took effect: its answer is lost.
        answer: What it says instead of what its contract promises.
        hold: What it waits for, before it takes effect or after.
    """

    refusals: list[ApplicationError] = field(default_factory=list)
    losses: list[ApplicationError] = field(default_factory=list)
    answer: Any = None
    hold: asyncio.Event | None = None
    hold_after: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def let_go(self) -> None:
        assert self.hold is not None
        self.hold.set()


UNDOES = {
    "release": {"reserve", "commit"},
    "reverse": {"authorise", "capture"},
    "cancel_shipment": {"book_1", "book_2"},
}
UNDONE_BY = {step: undo for undo, steps in UNDOES.items() for step in steps}


class World:
    """The outside of the orchestrator: what it asked for, in order, and what it is told.

    Attributes:
        books: The effects that are in force.
        made: How often each effect was ever made.
    """

    def __init__(self) -> None:
        self.books: dict[str, set[str]] = {}
        self.made: dict[str, Counter[str]] = {}
        self._fences: set[tuple[str, str]] = set()
        self.log: dict[str, list[str]] = {}
        self.states: dict[str, list[State]] = {}
        self.deliveries: dict[str, list[DeliveryState]] = {}
        self.messages: dict[str, list[Message]] = {}
        self.reservations: dict[str, inventory.Reservation] = {}
        self.reminders: dict[str, list[str]] = {}
        self._fates: dict[tuple[str, str], Fate] = {}

    def fate(self, order_id: str, step: str) -> Fate:
        return self._fates.setdefault((order_id, step), Fate())

    def refuse(self, order_id: str, step: str, kind: str, *, times: int = 1, final: bool = True) -> None:
        error = ApplicationError(f"{step} says no", type=kind, non_retryable=final)
        self.fate(order_id, step).refusals = [error] * times

    def hold(self, order_id: str, step: str) -> Fate:
        fate = self.fate(order_id, step)
        fate.hold = asyncio.Event()
        return fate

    def begun(self, order_id: str) -> list[str]:
        """The steps of the saga that began. What travels afterwards is none."""
        lines = [line for line in self.log.get(order_id, []) if not line.startswith("track_")]
        return [line.split()[0] for line in lines if line.endswith(" begin")]

    @activity.defn(name=STEP)
    async def step(self, name: str, order_id: str) -> Any:
        log = self.log.setdefault(order_id, [])
        fate = self.fate(order_id, name)
        log.append(f"{name} begin")
        fate.begun.set()
        if fate.hold is not None and not fate.hold_after:
            # A step under way does not hear of a cancellation: it takes effect, or not, when it is done.
            await asyncio.shield(fate.hold.wait())
        if fate.refusals:
            log.append(f"{name} refused")
            raise fate.refusals.pop(0)
        self._take_effect(name, order_id)
        if fate.hold is not None and fate.hold_after:
            await asyncio.shield(fate.hold.wait())
        if fate.losses:
            log.append(f"{name} lost")
            raise fate.losses.pop(0)
        log.append(f"{name} end")
        return self._answer(name, order_id) if fate.answer is None else fate.answer

    def _take_effect(self, name: str, order_id: str) -> None:
        """Once, and not behind its undo: as every callee does."""
        books = self.books.setdefault(order_id, set())
        if name in UNDOES:
            self._fences.add((order_id, name))
            books -= UNDOES[name]
        elif (order_id, UNDONE_BY.get(name, "")) in self._fences:
            raise ApplicationError("it is undone already", type="fenced", non_retryable=True)
        elif name in UNDONE_BY and name not in books:
            books.add(name)
            self.made.setdefault(order_id, Counter())[name] += 1

    def _answer(self, name: str, order_id: str) -> Any:
        if name == "reserve" and order_id in self.reservations:
            return self.reservations[order_id]
        two = (
            inventory.ReservedLine("TEA-250", 2, "north", 500, 250),
            inventory.ReservedLine("POT-1", 1, "south", 2000, 900),
        )
        expires = datetime.now(UTC) + timedelta(days=2)
        match name:
            case "reserve":
                return inventory.Reservation(order_id, "EUR", 3000, two, (), expires)
            case "reserve_part":
                return inventory.Reservation(order_id, "EUR", 1000, two[:1], (inventory.Line("POT-1", 1),), expires)
            case "commit":
                return inventory.Committed(order_id, 3)
            case "release":
                return inventory.Released(order_id, 3)
            case "authorise":
                return payments.Authorisation(order_id, 3000, "EUR", "auth-1")
            case "capture":
                return payments.Capture(order_id, 3000, "EUR", "cap-1")
            case "reverse":
                return payments.Reversed(order_id, 3000, 0)
            case "cancel_shipment":
                return shipping.Cancelled(order_id, 2)
            case _:
                return {}

    @activity.defn(name="orchestrator.record_state")
    async def record_state(self, state: State) -> None:
        self.states.setdefault(state.order_id, []).append(state)

    @activity.defn(name="orchestrator.record_delivery")
    async def record_delivery(self, state: DeliveryState) -> None:
        self.deliveries.setdefault(state.order_id, []).append(state)

    @activity.defn(name="orchestrator.conclude")
    async def conclude(self, conclusion: Conclusion) -> None:
        await self.record_state(conclusion.state)
        await self.send_message(conclusion.message)

    @activity.defn(name="orchestrator.send_message")
    async def send_message(self, message: Message) -> None:
        self.messages.setdefault(message.order_id, []).append(message)

    @activity.defn(name="orchestrator.remind")
    async def remind(self, reminder: Reminder) -> None:
        fate = self.fate(reminder.order_id, reminder.template)
        fate.begun.set()
        if fate.hold is not None:
            await fate.hold.wait()
        if fate.refusals:
            raise fate.refusals.pop(0)
        self.reminders.setdefault(reminder.order_id, []).append(reminder.template)

    def statuses(self, order_id: str) -> list[str]:
        return [
            status.value
            for state in self.states[order_id]
            for status in (*(one.status for one in state.passed), state.status)
        ]


@dataclass
class Shop:
    """Five workers on one server, and how to order."""

    client: Client
    world: World

    async def order(self, **terms: Any) -> WorkflowHandle[Any, contract.Outcome]:
        order = an_order(**terms)
        return await self.client.start_workflow(
            contract.FulfilOrder.run,
            order,
            id=contract.fulfil_id(order.order_id),
            task_queue=contract.TASK_QUEUE,
        )

    async def until(self, handle: WorkflowHandle[Any, Any], status: contract.Status) -> None:
        async def there() -> bool:
            return (await handle.query(contract.FulfilOrder.progress)).status is status

        await eventually(there)


def an_order(**terms: Any) -> contract.Order:
    usual: dict[str, Any] = {
        "order_id": f"o-{uuid.uuid4().hex[:12]}",
        "currency": "EUR",
        "lines": (contract.OrderLine("TEA-250", 2), contract.OrderLine("POT-1", 1)),
        "card_token": "tok_ok",
        "address": contract.Address("A. Reader", "Main Street 1", "Delft", "2611", "NL"),
        "email": "reader@example.org",
    }
    return contract.Order(**(usual | terms))


@pytest.fixture
def new_order() -> Callable[..., contract.Order]:
    return an_order


@asynccontextmanager
async def open_shop(client: Client, world: World | None = None) -> AsyncIterator[Shop]:
    world = world or World()
    async with AsyncExitStack() as stack:
        for queue, workflows in (
            ("inventory", [FakeReserveStock, FakeCommitStock, FakeReleaseStock]),
            ("payments", [FakeAuthorisePayment, FakeCapturePayment, FakeReversePayment]),
            ("shipping", [FakePlanShipment, FakeBookShipment, FakeCancelShipment, FakeTrackShipment]),
        ):
            await stack.enter_async_context(
                Worker(client, task_queue=queue, workflows=workflows, activities=[world.step])
            )
        await stack.enter_async_context(
            Worker(
                client,
                task_queue=contract.TASK_QUEUE,
                workflows=[FulfilOrder, FollowDelivery],
                activities=[
                    world.record_state,
                    world.record_delivery,
                    world.conclude,
                    world.send_message,
                    world.remind,
                ],
                interceptors=[ArgumentGuard()],
            )
        )
        yield Shop(client, world)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(dev_server: WorkflowEnvironment) -> AsyncIterator[Shop]:
    """On a real server: a step can be held for as long as a test likes without a clock that jumps."""
    async with open_shop(dev_server.client) as shop:
        yield shop


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def patient_shop(time_skipping: WorkflowEnvironment) -> AsyncIterator[Shop]:
    """On the server whose clock jumps, for waits of days."""
    async with open_shop(time_skipping.client) as shop:
        yield shop
