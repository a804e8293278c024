"""The catalogue, what comes in, and the books that an audit reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Boolean, case, delete, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from inventory.metrics import RECEIPT, InventoryMetrics
from inventory.reconciling import DISCREPANCIES
from inventory.tables import HoldState, MovementKind, hold_lines, holds, movements, prices, products, stock

OF_ORDERS = (MovementKind.COMMIT, MovementKind.PUT_BACK)
"""Movements whose reference is an order's id."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Units that came in.

    Attributes:
        receipt_id: The same for a repeat of the same delivery.
        sku: In the catalogue.
        warehouse: Where they are.
        quantity: Of units, positive.
    """

    receipt_id: str
    sku: str
    warehouse: str
    quantity: int


class Receiving(Enum):
    """What became of a receipt."""

    BOOKED = "booked"
    REPEATED = "repeated"
    CONFLICT = "conflict"
    """The id belongs to another receipt."""
    UNKNOWN_SKU = "unknown_sku"


class Books:
    """Catalogue, receipts and audit."""

    def __init__(self, engine: AsyncEngine, metrics: InventoryMetrics) -> None:
        """Use a database whose schema is up to date, and count what changes in it."""
        self._engine = engine
        self._metrics = metrics

    async def catalogue(self, sku: str, weight: int, amounts: Mapping[str, int]) -> bool:
        """Put a product into the catalogue as it is to be: prices that are not named are taken away.

        Args:
            sku: New or known.
            weight: Grams of one unit.
            amounts: Minor units by currency.

        Returns:
            Whether the SKU is new.
        """
        async with self._engine.begin() as connection:
            row = upsert(products).values(sku=sku, weight=weight)
            # xmax is 0 for a row that this statement made. The row's lock lets one change of a product follow another.
            row = row.on_conflict_do_update(index_elements=["sku"], set_={"weight": weight})
            made = literal_column("xmax = 0", Boolean)
            new: bool = (await connection.execute(row.returning(made))).scalar_one()
            gone = delete(prices).where(prices.c.sku == sku, prices.c.currency.not_in(list(amounts)))
            await connection.execute(gone)
            for currency, amount in amounts.items():
                price = upsert(prices).values(sku=sku, currency=currency, amount=amount)
                key = ["sku", "currency"]
                await connection.execute(price.on_conflict_do_update(index_elements=key, set_={"amount": amount}))
            return new

    async def receive(self, receipt: Receipt) -> Receiving:
        """Book a receipt, once."""
        received = await self._receive(receipt)
        if received is Receiving.BOOKED:
            self._metrics.moved(RECEIPT, receipt.quantity)
        return received

    async def _receive(self, receipt: Receipt) -> Receiving:
        async with self._engine.begin() as connection:
            known = select(products.c.sku).where(products.c.sku == receipt.sku)
            if (await connection.execute(known)).first() is None:
                return Receiving.UNKNOWN_SKU
            shelf = upsert(stock).values(sku=receipt.sku, warehouse=receipt.warehouse)
            await connection.execute(shelf.on_conflict_do_nothing())
            values = {"sku": receipt.sku, "warehouse": receipt.warehouse, "quantity": receipt.quantity}
            movement = upsert(movements).values(kind=MovementKind.RECEIPT, reference=receipt.receipt_id, **values)
            booked = await connection.execute(movement.on_conflict_do_nothing().returning(movements.c.id))
            if booked.first() is not None:
                return Receiving.BOOKED
            earlier = select(movements.c.sku, movements.c.warehouse, movements.c.quantity).where(
                movements.c.kind == MovementKind.RECEIPT, movements.c.reference == receipt.receipt_id
            )
            same = (await connection.execute(earlier)).mappings().one() == values
            if not same:
                # The shelf made above was for nothing.
                await connection.rollback()
            return Receiving.REPEATED if same else Receiving.CONFLICT

    async def product(self, sku: str) -> dict[str, Any] | None:
        """A product with its prices and its stock in each warehouse, or None if the catalogue does not have it."""
        async with self._engine.connect() as connection:
            product = (await connection.execute(select(products).where(products.c.sku == sku))).first()
            if product is None:
                return None
            amounts = await connection.execute(
                select(prices.c.currency, prices.c.amount).where(prices.c.sku == sku).order_by(prices.c.currency)
            )
            shelves = await connection.execute(
                select(stock.c.warehouse, stock.c.on_hand, stock.c.held, (stock.c.on_hand - stock.c.held).label("free"))
                .where(stock.c.sku == sku)
                .order_by(stock.c.warehouse)
            )
            return {
                "sku": sku,
                "weight": product.weight,
                "prices": {row.currency: row.amount for row in amounts},
                "warehouses": [dict(row) for row in shelves.mappings()],
            }

    async def orders(self, after: str, limit: int) -> list[dict[str, Any]]:
        """What is held and gone for each order, in the order of their ids."""
        lines = (
            select(func.coalesce(func.sum(hold_lines.c.quantity), 0))
            .where(hold_lines.c.order_id == holds.c.order_id)
            .scalar_subquery()
        )
        net = (
            select(func.coalesce(func.sum(movements.c.quantity), 0))
            .where(movements.c.reference == holds.c.order_id, movements.c.kind.in_(OF_ORDERS))
            .scalar_subquery()
        )
        query = (
            select(
                holds.c.order_id,
                holds.c.state,
                case((holds.c.state == HoldState.HELD, lines), else_=0).label("held"),
                (-net).label("out"),
            )
            .where(holds.c.order_id > after)
            .order_by(holds.c.order_id)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            rows = await connection.execute(query)
            return [
                {"order_id": row.order_id, "state": row.state, "held": int(row.held), "out": int(row.out)}
                for row in rows
            ]

    async def discrepancies(self) -> list[dict[str, Any]]:
        """Stock rows that differ from what movements and holds say: none, unless someone went round the triggers.

        Reads everything, in one statement and so at one moment.
        """
        query = text(f"{DISCREPANCIES} ORDER BY sku, warehouse")
        async with self._engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]
