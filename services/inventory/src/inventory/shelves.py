"""What transactions do to the rows of stock. Everybody locks them in the same order, by SKU and warehouse."""

from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, exists, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from inventory.allocation import Pick
from inventory.tables import MovementKind, closures, hold_lines, movements, stock


async def lock_free(connection: AsyncConnection, skus: Iterable[str]) -> dict[tuple[str, str], int]:
    """Lock the stock of some SKUs in all warehouses that are open to new reservations.

    Returns:
        Units that nobody holds, by SKU and warehouse.
    """
    closed = exists().where(closures.c.warehouse == stock.c.warehouse, closures.c.closed_until > func.clock_timestamp())
    rows = (
        select(stock.c.sku, stock.c.warehouse, stock.c.on_hand - stock.c.held)
        .where(stock.c.sku.in_(list(skus)), ~closed)
        .order_by(stock.c.sku, stock.c.warehouse)
        .with_for_update()
    )
    return {(sku, warehouse): units for sku, warehouse, units in await connection.execute(rows)}


async def hold(connection: AsyncConnection, picks: Iterable[Pick]) -> None:
    """Hold free units of locked rows."""
    await _change_held(connection, [(pick, pick.quantity) for pick in picks])


async def free(connection: AsyncConnection, order_ids: Sequence[str]) -> int:
    """Let go of what some orders hold.

    Returns:
        How many units.
    """
    picks = await _lock(connection, order_ids)
    await _change_held(connection, [(pick, -pick.quantity) for pick in picks])
    return sum(pick.quantity for pick in picks)


async def leave(connection: AsyncConnection, order_id: str) -> int:
    """Let the units that an order holds leave.

    Returns:
        How many units.
    """
    picks = await _lock(connection, [order_id])
    # First no longer held, then no longer there: on_hand >= held must be true between the two as well.
    await _change_held(connection, [(pick, -pick.quantity) for pick in picks])
    await _move(connection, MovementKind.COMMIT, order_id, [(pick, -pick.quantity) for pick in picks])
    return sum(pick.quantity for pick in picks)


async def put_back(connection: AsyncConnection, order_id: str) -> None:
    """Take the units that left for an order back."""
    picks = await _lock(connection, [order_id])
    await _move(connection, MovementKind.PUT_BACK, order_id, [(pick, pick.quantity) for pick in picks])


async def _lock(connection: AsyncConnection, order_ids: Sequence[str]) -> list[Pick]:
    """Lock the stock rows behind holds.

    Returns:
        What the holds have together of each.
    """
    mine = select(hold_lines.c.sku, hold_lines.c.warehouse).where(hold_lines.c.order_id.in_(order_ids))
    await connection.execute(
        select(stock.c.sku)
        .where(tuple_(stock.c.sku, stock.c.warehouse).in_(mine))
        .order_by(stock.c.sku, stock.c.warehouse)
        .with_for_update()
    )
    sums = (
        select(hold_lines.c.sku, hold_lines.c.warehouse, func.sum(hold_lines.c.quantity))
        .where(hold_lines.c.order_id.in_(order_ids))
        .group_by(hold_lines.c.sku, hold_lines.c.warehouse)
        .order_by(hold_lines.c.sku, hold_lines.c.warehouse)
    )
    return [Pick(sku, warehouse, int(units)) for sku, warehouse, units in await connection.execute(sums)]


async def _move(
    connection: AsyncConnection, kind: MovementKind, order_id: str, changes: Sequence[tuple[Pick, int]]
) -> None:
    """Book movements; the database's trigger changes ``on_hand`` by them."""
    rows = [
        {"kind": kind, "reference": order_id, "sku": pick.sku, "warehouse": pick.warehouse, "quantity": units}
        for pick, units in changes
    ]
    if rows:
        await connection.execute(insert(movements), rows)


async def _change_held(connection: AsyncConnection, changes: Sequence[tuple[Pick, int]]) -> None:
    rows = [{"of": pick.sku, "at": pick.warehouse, "more": units} for pick, units in changes]
    if rows:
        await connection.execute(_CHANGE_HELD, rows)


_CHANGE_HELD = (
    update(stock)
    .where(stock.c.sku == bindparam("of"), stock.c.warehouse == bindparam("at"))
    .values(held=stock.c.held + bindparam("more"))
)
