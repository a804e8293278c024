"""An order as benchmarks place it, and how long it takes."""

import asyncio
import time
from http import HTTPStatus
from typing import Any

from waybill.bench.harness import BenchError
from waybill.demo.day import FINISHED
from waybill.demo.samples import SAMPLES
from waybill.demo.shop import Shop

LOOK_SECONDS = 0.02
UNITS = 2
"""That the order takes."""
PATIENCE_SECONDS = 900.0
"""How long an order may take. One behind hundreds of imported ones took 136 s."""


async def order(shop: Shop, order_id: str, after: float = 0, look_seconds: float = LOOK_SECONDS) -> float:
    """Place an order, and wait until it has ended.

    Args:
        shop: The services.
        order_id: A new one.
        after: Seconds to wait first.
        look_seconds: Between two looks at it. Each is a request, which costs the service something.

    Returns:
        Seconds from the request to the end.

    Raises:
        BenchError: If it is refused, does not end as fulfilled, or does not end in time.
    """
    await asyncio.sleep(after)
    began = time.perf_counter()
    await place(shop, order_id)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            document = await _ended(shop, order_id, look_seconds)
    except TimeoutError:
        raise BenchError(f"{order_id} did not end within {PATIENCE_SECONDS:g} s") from None
    took = time.perf_counter() - began
    if document["status"] != "fulfilled":
        raise BenchError(f"{order_id} ended as {document['status']}: {document['reason']}, {document['detail']}")
    return took


async def place(shop: Shop, order_id: str) -> None:
    """Place an order.

    Args:
        shop: The services.
        order_id: A new one.

    Raises:
        BenchError: If it is refused.
    """
    status, answer = await shop.place(SAMPLES[0].body(order_id))
    if status != HTTPStatus.ACCEPTED:
        raise BenchError(f"the order {order_id} is answered {status}: {answer}")


async def _ended(shop: Shop, order_id: str, look_seconds: float) -> dict[str, Any]:
    """The order's document when nothing more happens to it."""
    while True:
        document = await shop.order(order_id)
        if document is not None and document["status"] in FINISHED:
            return document
        await asyncio.sleep(look_seconds)
