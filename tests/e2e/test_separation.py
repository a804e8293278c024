"""The lines between the services, seen from outside: queues, pollers, children, replicas; and strangers at the door."""

import asyncio
import hashlib
import hmac
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from chassis.testing.waiting import eventually
from orchestrator.contract import fulfil_id
from payments.contract import authorise_id, capture_id
from shipping.contract import booking_key
from waybill.stack import SERVICES

from .world import World

WORKFLOWS = {
    "orchestrator": ["FulfilOrder", "FollowDelivery"],
    "inventory": ["ReserveStock", "CommitStock", "ReleaseStock", "ReleaseExpiredHolds"],
    "payments": ["AuthorisePayment", "CapturePayment", "ReversePayment"],
    "shipping": ["PlanShipment", "BookShipment", "CancelShipment", "TrackShipment"],
}
NONSENSE: list[list[Any]] = [
    [],
    [None],
    [42],
    ["text"],
    [[]],
    [{}],
    [{"order_id": 5}],
    [{"order_id": "", "reason": "", "limit": 0, "parcel": 0}],
    [{"order_id": "x"}, "and more"],
]


async def pollers(world: World, queue: str, kind: TaskQueueType.ValueType) -> set[str]:
    """Identities of those who poll a queue, or have within the last minutes."""
    request = DescribeTaskQueueRequest(
        namespace=world.client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
    )
    answer = await world.client.workflow_service.describe_task_queue(request)
    return {poller.identity for poller in answer.pollers}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_queue_is_polled_by_its_own_service_and_nobody_else(world: World, service: str) -> None:
    for kind in (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY):
        pid = world.stack.pids[service]

        async def polled(kind: TaskQueueType.ValueType = kind, pid: int = pid) -> bool:
            return any(identity.endswith(f":{pid}") for identity in await pollers(world, service, kind))

        await eventually(polled)
        assert {identity.partition("@")[0] for identity in await pollers(world, service, kind)} == {service}


async def test_the_steps_of_an_order_are_its_children_on_the_other_services_queues(world: World) -> None:
    order_id = await world.place(card="tok_lapsed")
    assert await world.ended(order_id) == ("rejected", "declined")
    handle = world.client.get_workflow_handle(fulfil_id(order_id))
    children = {}
    async for event in handle.fetch_history_events():
        if event.HasField("start_child_workflow_execution_initiated_event_attributes"):
            begun = event.start_child_workflow_execution_initiated_event_attributes
            children[begun.workflow_id] = begun.task_queue.name
    queues = {
        "inventory": ["reserve", "commit", "release"],
        "payments": ["authorise", "capture", "reverse"],
        "shipping": ["plan", "cancel"],
    }
    steps = {f"{verb}:{order_id}": queue for queue, verbs in queues.items() for verb in verbs}
    assert children == {**steps, f"book:{order_id}:1": "shipping"}
    for child, queue in children.items():
        description = await world.client.get_workflow_handle(child).describe()
        assert (description.parent_id, description.task_queue) == (fulfil_id(order_id), queue)
        # The queue alone says little: it is the owner who did the work.
        async for event in world.client.get_workflow_handle(child).fetch_history_events():
            for done in ("workflow_task_completed", "activity_task_started"):
                if event.HasField(f"{done}_event_attributes"):  # type: ignore[arg-type]
                    assert getattr(event, f"{done}_event_attributes").identity.startswith(f"{queue}@")


async def test_two_replicas_of_a_service_share_the_load(world: World) -> None:
    await world.stack.scale("payments", 2)
    pids = {str(world.stack.pids[name]) for name in world.stack.replicas("payments")}
    assert len(pids) == 2
    sku = await world.product(north=100)
    await world.faults(gateway={"latency_seconds": 0.2})
    order_ids = await asyncio.gather(*(world.place(sku) for _ in range(12)))
    assert await world.all_ended(order_ids) == {("fulfilled", None)}
    at_work: list[str] = []
    for order_id in order_ids:
        for workflow_id in (authorise_id(order_id), capture_id(order_id)):
            async for event in world.client.get_workflow_handle(workflow_id).fetch_history_events():
                if event.HasField("activity_task_started_event_attributes"):
                    at_work.append(event.activity_task_started_event_attributes.identity.rpartition(":")[2])  # noqa: PERF401 - async
    assert set(at_work) == pids
    assert all(at_work.count(pid) >= 3 for pid in pids), at_work


async def test_a_webhook_with_a_wrong_signature_has_no_effect(world: World) -> None:
    order_id = await world.place()
    await world.delivered([order_id])
    event = {
        "event_id": uuid.uuid4().hex,
        "reference": booking_key(order_id, 1),
        "tracking_number": (await world.order(order_id))["tracking_numbers"][0],
        "state": "lost",
        "at": datetime.now(UTC).isoformat(),
    }
    raw = json.dumps(event).encode()
    right = hmac.new(world.stack.plan.webhook_secret.encode(), raw, hashlib.sha256).hexdigest()
    for signature in ("", "sha256=", "sha256=" + "0" * 64, "sha1=" + right, right, f"sha256={right}\u00e9"):
        assert await webhook(world, raw, signature) == 401
    assert await webhook(world, raw + b" ", f"sha256={right}") == 401
    page = await world.ask("GET", "shipping", f"/audit?limit=100&after={order_id[:-1]}")
    [mine] = [item for item in page.document["items"] if item["order_id"] == order_id]
    assert [parcel["state"] for parcel in mine["parcels"]] == ["delivered"]


async def test_a_signed_webhook_for_a_parcel_that_nobody_knows_is_taken(world: World) -> None:
    stranger = {"event_id": uuid.uuid4().hex, "reference": uuid.uuid4().hex, "tracking_number": "XX1"}
    raw = json.dumps({**stranger, "state": "picked_up", "at": datetime.now(UTC).isoformat()}).encode()
    right = hmac.new(world.stack.plan.webhook_secret.encode(), raw, hashlib.sha256).hexdigest()
    assert await webhook(world, raw, f"sha256={right}") == 204
    assert await webhook(world, raw, f"sha256={right}") == 204


async def webhook(world: World, raw: bytes, signature: str) -> int:
    """A carrier's call. Returns the status of the answer."""
    headers = {"Content-Type": "application/json", "X-Waybill-Signature": signature}
    url = f"{world.stack.urls['shipping']}/webhooks/carriers/swift"
    async with aiohttp.ClientSession() as stranger, stranger.post(url, data=raw, headers=headers) as answer:
        return answer.status


@pytest.mark.parametrize("service", SERVICES)
async def test_a_workflow_that_is_started_with_nonsense_fails_and_the_worker_lives(world: World, service: str) -> None:
    pid = world.stack.pids[service]

    async def fails(name: str, arguments: list[Any]) -> str | None:
        """Returns what is wrong with how it ends."""
        handle = await world.client.start_workflow(
            f"{service}.{name}", args=arguments, id=f"nonsense:{uuid.uuid4().hex}", task_queue=service
        )
        try:
            result = await asyncio.wait_for(handle.result(), 30)
        except TimeoutError:
            await handle.terminate("nonsense that does not end")
            return f"{name}({arguments}) does not end"
        except WorkflowFailureError as error:
            good = isinstance(error.cause, ApplicationError) and error.cause.non_retryable and error.cause.message
            return None if good else f"{name}({arguments}) fails with {error.cause!r}"
        return f"{name}({arguments}) returns {result}"

    works = [fails(name, arguments) for name in WORKFLOWS[service] for arguments in NONSENSE]
    wrong = [said for said in await asyncio.gather(*works) if said is not None]
    assert not wrong, "\n".join(wrong)
    assert world.stack.pids[service] == pid
    assert await world.ended(await world.place()) == ("fulfilled", None)
