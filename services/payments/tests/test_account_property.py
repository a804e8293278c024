"""Whatever is asked of accounts, in whatever order, no balance is negative and no money appears or vanishes."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from payments.account_terms import AccountRefused, Move
from payments.contract import CaptureRequest
from payments.model import State
from payments.store_credit import Unanswered

from .conftest import World, balance_of, credit_request, new_account, new_order, undo
from .direct_credit import Lost
from .seams import At, Crash, crash, seamed

ORDERS = 3
ACCOUNTS = 2


@dataclass(frozen=True)
class Bank:
    """A deposit or a withdrawal by an operator. The same number is the same key."""

    deposit: bool
    account: int
    key: int
    amount: int


@dataclass(frozen=True)
class OfOrder:
    """A step or the undo of an order, stopped at a seam or not."""

    step: str
    order: int
    account: int
    amount: int
    crash_at: int | None
    lost: list[Lost] = field(default_factory=list)


@dataclass(frozen=True)
class Door:
    """An account is closed or opened."""

    account: int
    open: bool


accounts = st.integers(0, ACCOUNTS - 1)
deeds = st.one_of(
    st.builds(Bank, st.booleans(), accounts, st.integers(0, 5), st.integers(1, 40)),
    st.builds(Bank, st.just(True), accounts, st.integers(10, 15), st.integers(1, 40)),
    st.builds(
        OfOrder,
        st.sampled_from(["authorise", "capture", "undo"]),
        st.integers(0, ORDERS - 1),
        accounts,
        st.integers(1, 3).map(lambda number: number * 10),
        st.none() | st.integers(0, 9),
        st.lists(st.sampled_from(Lost), max_size=1),
    ),
    st.builds(Door, accounts, st.booleans()),
)


class Bench:
    """Accounts and orders of one example."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.accounts = [new_account() for _ in range(ACCOUNTS)]
        self.orders = [new_order() for _ in range(ORDERS)]
        self.name = new_order()

    async def do(self, deed: Bank | OfOrder | Door) -> None:
        with suppress(AccountRefused, ApplicationError, Unanswered, Crash):
            match deed:
                case Bank():
                    move = Move(f"{self.name}-{deed.key}", deed.amount, "EUR")
                    ask = self.world.accounts.deposit if deed.deposit else self.world.accounts.withdraw
                    await ask(self.accounts[deed.account], move)
                case Door():
                    await self.world.accounts.set_open(self.accounts[deed.account], open=deed.open)
                case OfOrder():
                    await self._of_order(deed)

    async def _of_order(self, deed: OfOrder) -> None:
        order_id = self.orders[deed.order]
        self.world.credit.lost = list(deed.lost)
        activities = self.world.activities
        if deed.crash_at is not None:
            activities = seamed(self.world, At(deed.crash_at, crash))
        match deed.step:
            case "authorise":
                request = credit_request(order_id, self.accounts[deed.account], amount=deed.amount)
                await activities.authorise(request)
            case "capture":
                await activities.capture(CaptureRequest(order_id))
            case _:
                await undo(activities, order_id)

    async def check(self) -> None:
        """The balances are those of the statements, and with what orders hold they are what operators brought in."""
        held = 0
        for account_id in self.accounts:
            if await self.world.accounts.account(account_id) is not None:
                held += await balance_of(self.world, account_id)
        with_orders = 0
        for order_id in self.orders:
            books = await self.world.store.books(order_id)
            if books is not None:
                assert books.balanced
                payment = books.payment
                assert payment.captured - payment.refunded in (0, payment.amount)
                took = books.ledger.get("store_credit", 0)
                assert took in (0, payment.amount)
                assert (took > 0) >= (payment.state in (State.AUTHORISED, State.CAPTURED))
                with_orders += took
        assert held + with_orders == await self._brought_in()

    async def _brought_in(self) -> int:
        async with self.world.database.engine.connect() as connection:
            found = await connection.execute(
                sa.text(
                    "SELECT coalesce(sum(e.amount), 0) FROM bookings JOIN ledger_entries e USING (booking_key)"
                    " WHERE e.account = 'funding' AND account_id = ANY(:ids)"
                ),
                {"ids": self.accounts},
            )
            return int(found.scalar_one())


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(groups=st.lists(st.lists(deeds, min_size=1, max_size=4), max_size=12))
async def test_no_balance_is_negative_and_no_money_appears_or_vanishes(
    world: World, groups: list[list[Bank | OfOrder | Door]]
) -> None:
    """The deeds of a group run at once."""
    bench = Bench(world)
    for group in groups:
        await asyncio.gather(*(bench.do(deed) for deed in group))
        await bench.check()
    world.credit.lost.clear()
    for order_id in bench.orders:
        await undo(world.activities, order_id)
    await bench.check()
    for order_id in bench.orders:
        payment = await world.store.payment(order_id)
        assert payment.state is State.REVERSED
        assert payment.captured == payment.refunded
