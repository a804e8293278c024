"""Inventory's HTTP surface: the catalogue, receipts of goods, what is in stock, and the audit."""

from collections.abc import Sequence
from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from chassis.paging import page, page_args
from chassis.problems import Problem, operators_only, read_json
from inventory.books import Books, Receipt, Receiving
from inventory.contract import MAX_NAME
from inventory.parsing import MAX_PRICE, MAX_WEIGHT

MAX_RECEIPT = 1_000_000
"""Most units of one receipt."""


def _visible(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not contain control characters")
    return value


Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(_visible)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Price = Annotated[int, Field(ge=1, le=MAX_PRICE)]


class ProductBody(BaseModel):
    """Body of ``PUT /catalogue/{sku}``: the product as it is to be."""

    model_config = ConfigDict(extra="forbid")

    weight: int = Field(ge=1, le=MAX_WEIGHT)
    prices: dict[Currency, Price] = Field(min_length=1, max_length=200)


class ReceiptBody(BaseModel):
    """Body of ``POST /receipts``."""

    model_config = ConfigDict(extra="forbid")

    receipt_id: Name
    sku: Name
    warehouse: Name
    quantity: int = Field(ge=1, le=MAX_RECEIPT)


def routes(books: Books, operator_token: SecretStr) -> Sequence[web.RouteDef]:
    """Inventory's routes.

    Args:
        books: What they read and write.
        operator_token: Guards all but ``GET /stock/{sku}``.
    """
    guard = operators_only(operator_token)

    async def put_product(request: web.Request) -> web.StreamResponse:
        sku = _sku(request)
        body = await read_json(request, ProductBody)
        new = await books.catalogue(sku, body.weight, body.prices)
        return web.json_response({"sku": sku, **body.model_dump()}, status=201 if new else 200)

    async def post_receipt(request: web.Request) -> web.StreamResponse:
        body = await read_json(request, ReceiptBody)
        match await books.receive(Receipt(**body.model_dump())):
            case Receiving.UNKNOWN_SKU:
                detail = f"sku: the catalogue does not have {body.sku}."
                raise Problem(422, "Unknown SKU", detail, field="sku")
            case Receiving.CONFLICT:
                detail = f"receipt_id: {body.receipt_id} belongs to another receipt."
                raise Problem(409, "Conflict", detail, field="receipt_id")
            case outcome:
                return web.json_response(body.model_dump(), status=201 if outcome is Receiving.BOOKED else 200)

    async def get_stock(request: web.Request) -> web.StreamResponse:
        sku = _sku(request)
        product = await books.product(sku)
        if product is None:
            raise Problem(404, "Not Found", f"sku: the catalogue does not have {sku}.", field="sku")
        return web.json_response(product)

    async def get_audit(request: web.Request) -> web.StreamResponse:
        after, limit = page_args(request)
        return page(await books.orders(after, limit), limit, "order_id")

    async def get_stock_audit(_: web.Request) -> web.StreamResponse:
        return web.json_response({"discrepancies": await books.discrepancies()})

    return [
        web.put("/catalogue/{sku}", guard(put_product)),
        web.post("/receipts", guard(post_receipt)),
        web.get("/stock/{sku}", get_stock),
        web.get("/audit", guard(get_audit)),
        web.get("/audit/stock", guard(get_stock_audit)),
    ]


def _sku(request: web.Request) -> str:
    sku = request.match_info["sku"]
    if len(sku) > MAX_NAME or not sku.isprintable():
        detail = f"sku: must be at most {MAX_NAME} characters, none of them a control character."
        raise Problem(400, "Invalid SKU", detail, field="sku")
    return sku
