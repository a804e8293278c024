import io
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from pydantic import SecretStr

from chassis.connection import Connection
from chassis.health import HEALTH
from chassis.testing.serving import serve_app
from shipping import contract
from shipping.api import SIGNATURE, sign
from shipping.contract import DeliveryState, Undo
from shipping.settings import Settings
from shipping.worker import compose

from .world import NOON, World, book_request, new_order, report_of

SECRET = b"webhook-secret"
OPERATOR = {"Authorization": "Bearer operator-token"}


@pytest_asyncio.fixture
async def http(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    """Shipping as its composition root makes it, with its database and without Temporal."""
    settings = Settings(
        database_url=world.database.engine.url.render_as_string(hide_password=False),
        operator_token=SecretStr("operator-token"),
        webhook_secret=SecretStr(SECRET.decode()),
        carriers_url="http://127.0.0.1:1/carriers",
    )
    service = compose(settings, Connection("shipping"))
    app = service.app()
    app[HEALTH].storing = True
    async with serve_app(app) as url, aiohttp.ClientSession(url) as session:
        yield session
    await service.database.close()


def event(key: str, state: str = "picked_up", **other: Any) -> dict[str, Any]:
    return {
        "event_id": uuid.uuid4().hex,
        "reference": key,
        "tracking_number": "T-1",
        "state": state,
        "at": "2026-01-01T12:00:00Z",
        **other,
    }


async def post(
    http: aiohttp.ClientSession, body: object, *, carrier: str = "budget", signature: str | None = None
) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", SIGNATURE: sign(SECRET, raw) if signature is None else signature}
    async with http.post(f"/webhooks/carriers/{carrier}", data=io.BytesIO(raw), headers=headers) as response:
        return response.status, await response.json(content_type=None) if response.status >= 400 else None


async def test_an_event_is_stored_while_temporal_is_away(http: aiohttp.ClientSession, world: World) -> None:
    row = await world.booked(new_order())
    status, _ = await post(http, event(row.key))
    assert status == 204
    assert (await world.reports.sighting(row)).state is DeliveryState.PICKED_UP
    assert list(await world.reports.untold()) == [(row.order_id, 1)]


async def test_a_repeated_event_is_welcome_and_stored_once(http: aiohttp.ClientSession, world: World) -> None:
    row = await world.booked(new_order())
    body = event(row.key)
    assert [(await post(http, body))[0] for _ in range(3)] == [204] * 3
    assert (await world.reports.sighting(row)).events == 1


async def test_an_event_for_an_unknown_shipment_is_stored(http: aiohttp.ClientSession, world: World) -> None:
    order_id = new_order()
    assert (await post(http, event(contract.booking_key(order_id, 1))))[0] == 204
    row = await world.booked(order_id)
    assert (await world.reports.sighting(row)).state is DeliveryState.PICKED_UP


@pytest.mark.parametrize(
    "signature",
    ["", "sha256=", "sha256=" + "0" * 64, "sha1=abc", "ÿ", sign(b"another-secret", b"{}")],
)
async def test_a_wrong_signature_has_no_effect(http: aiohttp.ClientSession, world: World, signature: str) -> None:
    row = await world.booked(new_order())
    status, problem = await post(http, event(row.key), signature=signature)
    assert (status, problem["title"]) == (401, "Unauthorized")
    assert (await world.reports.sighting(row)).events == 0


async def test_the_signature_is_that_of_the_body_byte_for_byte(http: aiohttp.ClientSession, world: World) -> None:
    row = await world.booked(new_order())
    body = event(row.key)
    status, _ = await post(http, body, signature=sign(SECRET, json.dumps(body, indent=1).encode()))
    assert status == 401


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event_id": ""}, "event_id"),
        ({"event_id": "a\u0000b"}, "event_id"),
        ({"event_id": 7}, "event_id"),
        ({"reference": "x" * 201}, "reference"),
        ({"reference": None}, "reference"),
        ({"state": "eaten"}, "state"),
        ({"expected_at": "9999-12-31T23:59:59Z"}, "expected_at"),
        ({"at": "yesterday"}, "at"),
        ({"at": "2026-01-01T12:00:00"}, "at"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "at"),
        ({"at": 5}, "at"),
        ({"tracking_number": ["T"]}, "tracking_number"),
    ],
)
async def test_a_signed_event_that_makes_no_sense_is_refused_by_field(
    http: aiohttp.ClientSession, world: World, change: dict[str, Any], field: str
) -> None:
    status, problem = await post(http, event("key", **change))
    assert (status, problem["field"]) == (422, field)


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[]", 422), (b"\xff", 400), (b"[" * 100_000, 400)])
async def test_a_signed_body_that_is_no_event_is_refused(
    http: aiohttp.ClientSession, world: World, body: bytes, status: int
) -> None:
    assert (await post(http, body))[0] == status


async def test_a_body_that_is_too_large_is_refused(http: aiohttp.ClientSession, world: World) -> None:
    assert (await post(http, b" " * 5_000_000, signature="sha256="))[0] == 413


async def test_what_is_no_carriers_name_is_not_found(http: aiohttp.ClientSession, world: World) -> None:
    assert (await post(http, event("key"), carrier="(waybill)"))[0] == 404


async def test_the_audit_names_all_parcels_with_their_states(http: aiohttp.ClientSession, world: World) -> None:
    delivered = await world.booked("A-1")
    await world.reports.add(report_of(delivered, DeliveryState.DELIVERED))
    await world.store.intend("A-1", 2, contract.booking_key("A-1", 2), "swift")
    await world.activities.book(book_request("A-2"))
    await world.activities.cancel(Undo("A-2", "customer"))
    async with http.get("/audit", params={"limit": "1"}, headers=OPERATOR) as response:
        assert await response.json() == {
            "items": [
                {
                    "order_id": "A-1",
                    "cancelled": False,
                    "parcels": [
                        {"parcel": 1, "carrier": "budget", "state": "delivered", "tracking_number": "T-A-1-1"},
                        {"parcel": 2, "carrier": "swift", "state": "booking", "tracking_number": None},
                    ],
                }
            ],
            "next": "A-1",
        }
    async with http.get("/audit", params={"after": "A-1"}, headers=OPERATOR) as response:
        page = await response.json()
    assert page["next"] is None
    assert [(item["cancelled"], item["parcels"][0]["state"]) for item in page["items"]] == [(True, "cancelled")]


async def test_escalations_are_listed_page_by_page(http: aiohttp.ClientSession, world: World) -> None:
    from shipping.reports import Silence

    row = await world.booked("A-1")
    await world.reports.record_silence(row, Silence(NOON, NOON, "budget does not know T"), [], give_up_at=None)
    late = Silence(NOON + timedelta(days=1), NOON, "budget names 0 events", promised_at=NOON)
    promised = await world.booked("A-2", promised_at=NOON)
    await world.reports.record_silence(promised, late, [], give_up_at=None)
    async with http.get("/escalations", params={"limit": "1"}, headers=OPERATOR) as response:
        page = await response.json()
    assert [(item["order_id"], item["kind"], item["detail"], item["promised_at"]) for item in page["items"]] == [
        ("A-1", "silence", "budget does not know T", None)
    ]
    async with http.get("/escalations", params={"after": page["next"]}, headers=OPERATOR) as response:
        (item,) = (await response.json())["items"]
    assert (item["order_id"], item["kind"], item["promised_at"]) == ("A-2", "late", NOON.isoformat())


async def test_an_event_that_names_a_new_time_moves_the_promise(http: aiohttp.ClientSession, world: World) -> None:
    row = await world.booked(new_order(), promised_at=NOON)
    assert (await post(http, event(row.key, expected_at="2026-02-01T13:00:00+01:00")))[0] == 204
    assert (await post(http, event(row.key, "in_transit")))[0] == 204
    assert (await world.reports.sighting(row)).promised_at == datetime(2026, 2, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("path", ["/audit", "/escalations"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "operator-token"}])
async def test_the_books_are_for_operators_only(
    http: aiohttp.ClientSession, world: World, path: str, headers: dict[str, str]
) -> None:
    async with http.get(path, headers=headers) as response:
        assert (response.status, response.content_type) == (401, "application/problem+json")


@pytest.mark.parametrize(
    ("path", "field"),
    [("/audit?limit=0", "limit"), ("/audit?after=%00", "after"), ("/escalations?after=x", "after")],
)
async def test_nonsense_pages_are_refused(http: aiohttp.ClientSession, world: World, path: str, field: str) -> None:
    async with http.get(path, headers=OPERATOR) as response:
        assert (response.status, (await response.json())["field"]) == (400, field)
