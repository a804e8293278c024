"""Payments' HTTP surface, for operators. Customers never speak to payments."""

from typing import Any

from aiohttp import web
from pydantic import SecretStr

from chassis.paging import page, page_args
from chassis.problems import Problem, operators_only
from payments.contract import MAX_ORDER_ID
from payments.model import Books
from payments.store import Store


def routes(store: Store, operator_token: SecretStr) -> list[web.RouteDef]:
    """Payments' routes.

    Args:
        store: Payments' memory.
        operator_token: What callers must show.
    """
    guarded = operators_only(operator_token)

    @guarded
    async def audit(request: web.Request) -> web.StreamResponse:
        """``GET /audit?after=&limit=``: the books of every payment, by order id."""
        after, limit = page_args(request)
        return page([_item(books) for books in await store.page(after, limit)], limit, "order_id")

    @guarded
    async def payment(request: web.Request) -> web.StreamResponse:
        """``GET /payments/{order_id}``: the books of one payment."""
        order_id = request.match_info["order_id"]
        if len(order_id) > MAX_ORDER_ID or not order_id.isprintable():
            raise Problem(400, "Invalid Order Id", "order_id is not an order's id.", field="order_id")
        books = await store.books(order_id)
        if books is None:
            raise Problem(404, "Not Found", f"Order {order_id} has no payment.")
        return web.json_response(_item(books) | _details(books))

    return [web.get("/audit", audit), web.get("/payments/{order_id}", payment)]


def _item(books: Books) -> dict[str, Any]:
    payment = books.payment
    return {
        "order_id": payment.order_id,
        "state": payment.state,
        "method": payment.method,
        "amount": payment.amount,
        "currency": payment.currency,
        "captured": payment.captured,
        "refunded": payment.refunded,
        "ledger": books.ledger,
        "balanced": books.balanced,
    }


def _details(books: Books) -> dict[str, Any]:
    payment = books.payment
    return {
        "account_id": payment.account_id,
        "voided": payment.voided,
        "authorisation_id": payment.authorisation_id,
        "capture_id": payment.capture_id,
        "refund_id": payment.refund_id,
        "decline_reason": payment.decline_reason,
        "reverse_reason": payment.reverse_reason,
        "created_at": payment.created_at.isoformat(),
        "updated_at": payment.updated_at.isoformat(),
    }
