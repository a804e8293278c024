"""An order as benchmarks place it, and how long it takes."""

import asyncio
import time

from waybill.demo.day import FINISHED
from waybill.demo.samples import SAMPLES
from waybill.demo.shop import Shop

LOOK_SECONDS = 0.02
UNITS = 2
"""That the order takes."""


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
        RuntimeError: If it did not end as fulfilled.
    """
    await asyncio.sleep(after)
    began = time.perf_counter()
    await shop.place(SAMPLES[0].body(order_id))
    while True:
        document = await shop.order(order_id)
        if document is not None and document["status"] in FINISHED:
            if document["status"] != "fulfilled":
                raise RuntimeError(
                    f"{order_id} ended as {document['status']}: {document['reason']}, {document['detail']}"
                )
            return time.perf_counter() - began
        await asyncio.sleep(look_seconds)
