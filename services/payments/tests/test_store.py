import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.resources import files

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

from chassis.database import Database
from payments.metrics import PaymentsMetrics
from payments.model import Method, State
from payments.settlement_store import SettlementStore
from payments.settlement_terms import Due
from payments.store import Store
from payments.tables import METADATA

from .conftest import World, new_order


async def _captured(world: World) -> str:
    order_id = new_order()
    await world.store.begin_authorisation(order_id, 500, "EUR")
    await world.store.record_authorised(order_id, "a-1")
    await world.store.begin_capture(order_id)
    await world.store.record_captured(order_id, "c-1")
    return order_id


async def _refused(world: World, *statements: str, order_id: str) -> str:
    """What the database says against it."""
    with pytest.raises(DBAPIError) as caught:
        await _execute(world, statements, order_id)
    return str(caught.value.orig)


async def _execute(world: World, statements: tuple[str, ...], order_id: str) -> None:
    async with world.database.engine.begin() as connection:
        for statement in statements:
            await connection.execute(sa.text(statement), {"id": order_id})


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("captured = 499", "ck_payments_captured"),
        ("captured = -500", "ck_payments_captured"),
        ("captured = 0", "ck_payments_state_and_money"),
        ("refunded = 1", "ck_payments_refunded"),
        ("refunded = 500", "ck_payments_state_and_money"),
        ("state = 'reversed'", "ck_payments_state_and_money"),
        ("state = 'authorised'", "ck_payments_state_and_money"),
        ("state = 'lost'", "ck_payments_state"),
        ("voided = 500", "ck_payments"),
        ("amount = 0", "ck_payments_amount"),
        ("currency = NULL", "ck_payments_currency"),
        ("capture_id = NULL", "ck_payments_state_and_money"),
    ],
)
async def test_the_database_refuses_a_payment_whose_amounts_do_not_fit(
    world: World, change: str, constraint: str
) -> None:
    order_id = await _captured(world)
    assert constraint in await _refused(world, f"UPDATE payments SET {change} WHERE order_id = :id", order_id=order_id)


BOOKING = "INSERT INTO bookings (booking_key, order_id, kind, currency) VALUES (:id || '-x', :id, 'refund', 'EUR')"
ENTRY = "INSERT INTO ledger_entries (booking_key, account, amount) VALUES (:id || '-x', '{}', {})"


async def test_the_database_refuses_a_booking_that_does_not_sum_to_0(world: World) -> None:
    order_id = await _captured(world)
    said = await _refused(world, BOOKING, ENTRY.format("gateway", -5), ENTRY.format("sales", 4), order_id=order_id)
    assert "sum" in said


async def test_the_database_refuses_a_booking_without_entries(world: World) -> None:
    assert "does not sum to 0" in await _refused(world, BOOKING, order_id=await _captured(world))


async def test_the_database_refuses_a_balanced_booking_that_the_payment_does_not_know(world: World) -> None:
    order_id = await _captured(world)
    said = await _refused(world, BOOKING, ENTRY.format("gateway", -500), ENTRY.format("sales", 500), order_id=order_id)
    assert "at the gateway" in said


async def test_the_database_refuses_a_refund_that_is_not_booked(world: World) -> None:
    change = "UPDATE payments SET refunded = 500, state = 'reversed' WHERE order_id = :id"
    assert "at the gateway" in await _refused(world, change, order_id=await _captured(world))


async def test_the_database_refuses_the_same_booking_twice(world: World) -> None:
    again = (
        "INSERT INTO bookings (booking_key, order_id, kind, currency) "
        "SELECT booking_key, order_id, kind, currency FROM bookings WHERE order_id = :id"
    )
    assert "pk_bookings" in await _refused(world, again, order_id=await _captured(world))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_entries SET amount = -amount WHERE booking_key LIKE :id || '%'",
        "DELETE FROM ledger_entries WHERE booking_key = :id",
        "TRUNCATE bookings CASCADE",
        "UPDATE bookings SET kind = 'refund' WHERE order_id = :id",
    ],
)
async def test_what_is_booked_is_never_changed(world: World, change: str) -> None:
    assert "never changed or deleted" in await _refused(world, change, order_id=await _captured(world))


async def test_pages_come_in_the_order_of_bytes_and_end(world: World) -> None:
    ids = ["b", "B", "a-1", "a1", "ä"]
    for order_id in ids:
        await world.store.fence(order_id, "test")
    seen: list[str] = []
    while page := await world.store.page(seen[-1] if seen else "", 2):
        seen += [books.payment.order_id for books in page]
    assert seen == sorted(ids, key=str.encode)


async def test_the_migrations_make_what_the_tables_say(world: World) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    async with world.database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_several_replicas_may_migrate_at_once(
    fresh_database: Callable[[str], Awaitable[Database]],
) -> None:
    database = await fresh_database("payments.migrations")
    async with database.engine.begin() as connection:
        await connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        await connection.execute(sa.text("CREATE SCHEMA public"))
    await asyncio.gather(*(database.migrate("payments.migrations") for _ in range(5)))
    async with database.engine.connect() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM payments"))).scalar_one() == 0


OLD_PAYMENT = [
    (
        "INSERT INTO payments (order_id, state, amount, currency, captured, authorisation_id, capture_id)"
        " VALUES ('old', 'captured', 500, 'EUR', 500, 'a', 'c')"
    ),
    "INSERT INTO bookings (booking_key, order_id, kind, currency) VALUES ('old-capture', 'old', 'capture', 'EUR')",
    "INSERT INTO ledger_entries VALUES ('old-capture', 'gateway', 500), ('old-capture', 'sales', -500)",
]


async def test_a_database_of_before_the_accounts_is_brought_up_to_date(
    fresh_database: Callable[[str], Awaitable[Database]],
) -> None:
    """With a payment in it, whose capture then waits for its settlement."""
    database = await fresh_database("payments.migrations")

    def upgrade(connection: sa.Connection, revision: str) -> None:
        config = Config()
        config.set_main_option("script_location", str(files("payments").joinpath("migrations")))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with database.engine.begin() as connection:
        await connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        await connection.execute(sa.text("CREATE SCHEMA public"))
        await connection.run_sync(upgrade, "0001")
    async with database.engine.begin() as connection:
        for statement in OLD_PAYMENT:
            await connection.execute(sa.text(statement))
    await database.migrate("payments.migrations")
    books = await Store(database.engine, PaymentsMetrics()).books("old")
    assert books is not None
    assert (books.payment.method, books.payment.state, books.balanced) == (Method.CARD, State.CAPTURED, True)
    settlements = SettlementStore(database.engine, PaymentsMetrics())
    made = await settlements.settle(Due("2026-11-24", datetime(2999, 1, 1, tzinfo=UTC)))
    assert [line.captured for line in made.lines] == [500]
