import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from chassis import schedules
from chassis.converter import INVALID_INPUT
from chassis.service import Service
from chassis.testing.waiting import eventually
from inventory import contract
from inventory.activities import Expired, ExpiryBatch
from inventory.books import Books
from inventory.contract import Line, Refusal, ReserveRequest
from inventory.store import Store
from inventory.workflows.release_expired_holds import ReleaseExpiredHolds

Stocked = Callable[..., Awaitable[str]]
Shelf = Callable[[str], Awaitable[dict[str, tuple[int, int]]]]
RunOut = Callable[[str], Awaitable[None]]
Record = Callable[[WorkflowHandle[Any, Any], str], Awaitable[None]]


@pytest_asyncio.fixture
async def client(time_skipping: WorkflowEnvironment, service: Service) -> AsyncIterator[Client]:
    """A client of a server on which inventory's worker runs, with its real activities and database."""
    async with service.worker(time_skipping.client):
        yield time_skipping.client


@pytest_asyncio.fixture
async def real_client(dev_server: WorkflowEnvironment, service: Service) -> AsyncIterator[Client]:
    """For cancellations: the server that skips loses an activity that ends while it is to be cancelled."""
    async with service.worker(dev_server.client):
        yield dev_server.client


def order(*lines: tuple[str, int]) -> ReserveRequest:
    return ReserveRequest(f"A-{uuid.uuid4().hex}", "EUR", tuple(Line(sku, quantity) for sku, quantity in lines))


async def reserve(client: Client, request: ReserveRequest) -> WorkflowHandle[Any, contract.Reservation]:
    return await client.start_workflow(
        contract.ReserveStock.run, request, id=contract.reserve_id(request.order_id), task_queue=contract.TASK_QUEUE
    )


async def commit(client: Client, order_id: str) -> WorkflowHandle[Any, contract.Committed]:
    return await client.start_workflow(
        contract.CommitStock.run,
        contract.CommitRequest(order_id),
        id=contract.commit_id(order_id),
        task_queue=contract.TASK_QUEUE,
    )


async def release(client: Client, order_id: str) -> WorkflowHandle[Any, contract.Released]:
    return await client.start_workflow(
        contract.ReleaseStock.run,
        contract.Undo(order_id, "cancelled"),
        id=contract.release_id(order_id),
        task_queue=contract.TASK_QUEUE,
    )


async def refusal(handle: WorkflowHandle[Any, Any]) -> ApplicationError:
    """The application error by which a workflow failed, which must be the failure itself."""
    with pytest.raises(WorkflowFailureError) as failed:
        async with asyncio.timeout(30):
            await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause


async def test_stock_is_reserved_committed_and_put_back(
    client: Client, stocked: Stocked, shelf: Shelf, record: Record
) -> None:
    sku = await stocked(east=2, west=2)
    request = order((sku, 3))
    reserving = await reserve(client, request)
    reservation = await reserving.result()
    assert reservation.total == 750
    assert [(line.warehouse, line.quantity) for line in reservation.lines] == [("east", 2), ("west", 1)]
    committing = await commit(client, request.order_id)
    assert await committing.result() == contract.Committed(request.order_id, 3)
    assert await shelf(sku) == {"east": (0, 0), "west": (1, 0)}
    releasing = await release(client, request.order_id)
    assert await releasing.result() == contract.Released(request.order_id, 3)
    assert await shelf(sku) == {"east": (2, 0), "west": (2, 0)}
    await record(reserving, "reserve_stock")
    await record(committing, "commit_stock")
    await record(releasing, "release_stock")


async def test_a_refusal_is_the_workflows_own_failure_and_names_what_is_missing(
    client: Client, stocked: Stocked, record: Record
) -> None:
    sku = await stocked(east=1)
    refused = await reserve(client, order((sku, 2)))
    error = await refusal(refused)
    assert (error.type, error.non_retryable) == (Refusal.OUT_OF_STOCK, True)
    assert sku in error.message
    await record(refused, "reserve_stock_refused")
    unknown = await refusal(await reserve(client, order((sku, 1), ("NO-SUCH-THING", 1))))
    assert (unknown.type, "NO-SUCH-THING" in unknown.message) == (Refusal.UNKNOWN_SKU, True)


async def test_an_undo_that_overtakes_its_step_fences_it(client: Client, stocked: Stocked, shelf: Shelf) -> None:
    sku = await stocked(east=5)
    request = order((sku, 1))
    assert await (await release(client, request.order_id)).result() == contract.Released(request.order_id, 0)
    assert (await refusal(await reserve(client, request))).type == Refusal.HOLD_RELEASED
    assert (await refusal(await commit(client, request.order_id))).type == Refusal.HOLD_RELEASED
    assert await shelf(sku) == {"east": (5, 0)}


async def test_a_cancelled_reserve_and_its_undo_leave_nothing_held(
    real_client: Client, stocked: Stocked, shelf: Shelf
) -> None:
    sku = await stocked(east=5)
    for _ in range(5):
        request = order((sku, 1))
        reserving = await reserve(real_client, request)
        await reserving.cancel()
        await (await release(real_client, request.order_id)).result()
        # Cancelled, refused by the fence, or done before the undo: all the same to the stock.
        await asyncio.gather(reserving.result(), return_exceptions=True)
        assert await shelf(sku) == {"east": (5, 0)}


async def test_a_hold_that_ran_out_cannot_be_committed(
    client: Client, stocked: Stocked, shelf: Shelf, run_out: RunOut
) -> None:
    sku = await stocked(east=5)
    request = order((sku, 2))
    await (await reserve(client, request)).result()
    await run_out(request.order_id)
    assert (await refusal(await commit(client, request.order_id))).type == Refusal.HOLD_EXPIRED
    assert await shelf(sku) == {"east": (5, 0)}


async def test_expired_holds_are_released_batch_after_batch(
    client: Client, store: Store, stocked: Stocked, shelf: Shelf, run_out: RunOut, record: Record
) -> None:
    sku = await stocked(east=9)
    for _ in range(5):
        request = order((sku, 1))
        await store.reserve(request)
        await run_out(request.order_id)
    expiring = await client.start_workflow(
        ReleaseExpiredHolds.run, ExpiryBatch(2), id=f"expire-{uuid.uuid4()}", task_queue=contract.TASK_QUEUE
    )
    assert await expiring.result() == Expired(holds=5, units=5)
    assert await shelf(sku) == {"east": (9, 0)}
    await record(expiring, "release_expired_holds")


GOOD: dict[str, Any] = {"order_id": "A", "currency": "EUR", "lines": [{"sku": "TEA", "quantity": 1}]}


@pytest.mark.parametrize(
    ("nonsense", "says"),
    [
        ({**GOOD, "lines": [{"sku": "TEA", "quantity": 1.5}]}, "expected int, got float"),
        ({**GOOD, "lines": [{"sku": "TEA", "quantity": True}]}, "expected int, got bool"),
        ({**GOOD, "lines": [{"sku": "TEA", "quantity": "1"}]}, "expected int, got str"),
        ({**GOOD, "lines": [{"sku": "TEA", "quantity": -1}]}, "quantity of TEA is -1"),
        ({**GOOD, "lines": [{"sku": "TEA", "quantity": 0}]}, "quantity of TEA is 0"),
        ({**GOOD, "lines": [{"sku": "TEA", "quantity": 10**30}]}, "quantity of TEA is 1"),
        ({**GOOD, "lines": [{"sku": "TEA"}]}, "quantity"),
        ({**GOOD, "lines": [{"sku": "TEA", "quantity": 1}] * 2}, "a SKU stands in two lines"),
        ({**GOOD, "lines": []}, "an order has 1 to 100 lines"),
        ({**GOOD, "lines": "TEA"}, "lines"),
        ({**GOOD, "order_id": ""}, "order_id is empty"),
        ({**GOOD, "order_id": "A\0"}, "order_id contains control characters"),
        ({**GOOD, "order_id": "A" * 201}, "order_id has 201 characters"),
        ({**GOOD, "hold_seconds": 10**12}, "hold_seconds is 1000000000000"),
        ({**GOOD, "currency": None}, "expected str, got NoneType"),
        ({"order_id": "A", "currency": "EUR"}, "lines"),
        ("nonsense", "ReserveRequest"),
    ],
)
async def test_nonsense_from_a_raw_client_fails_with_a_clear_error_and_the_worker_lives(
    nonsense: Any, says: str, client: Client, stocked: Stocked
) -> None:
    handle = await client.start_workflow(
        "inventory.ReserveStock", nonsense, id=f"nonsense-{uuid.uuid4()}", task_queue=contract.TASK_QUEUE
    )
    error = await refusal(handle)
    assert (error.type, error.non_retryable) == (INVALID_INPUT, True)
    assert says in error.message
    reservation = await (await reserve(client, order((await stocked(east=1), 1)))).result()
    assert len(reservation.lines) == 1


@pytest.mark.parametrize(
    "workflow", ["inventory.CommitStock", "inventory.ReleaseStock", "inventory.ReleaseExpiredHolds"]
)
@pytest.mark.parametrize("nonsense", [[], [None], [7], [{}], [{"order_id": 7, "reason": 7, "limit": 0}], [GOOD, GOOD]])
async def test_no_workflow_hangs_on_nonsense(workflow: str, nonsense: list[Any], client: Client) -> None:
    handle = await client.start_workflow(
        workflow, args=nonsense, id=f"nonsense-{uuid.uuid4()}", task_queue=contract.TASK_QUEUE
    )
    assert (await refusal(handle)).type == INVALID_INPUT


async def test_the_schedule_releases_what_ran_out(
    dev_server: WorkflowEnvironment,
    service: Service,
    store: Store,
    books: Books,
    stocked: Stocked,
    shelf: Shelf,
    run_out: RunOut,
) -> None:
    sku = await stocked(east=9)
    requests = [order((sku, 1)) for _ in range(3)]
    for request in requests:
        await store.reserve(request)
        await run_out(request.order_id)
    async with service.worker(dev_server.client):
        for _ in range(2):  # the second start of a service finds its schedule there
            await schedules.apply(dev_server.client, service.schedules)

        async def released() -> bool:
            return (await shelf(sku))["east"] == (9, 0)

        try:
            await eventually(released)
        finally:
            for schedule in service.schedules:
                await dev_server.client.get_schedule_handle(schedule.id).delete()
    assert {item["state"] for item in await books.orders("", 10)} == {"expired"}
