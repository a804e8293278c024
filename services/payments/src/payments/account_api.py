"""The HTTP surface of the store-credit accounts, for operators."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from chassis.connection import TemporalUnavailable
from chassis.paging import page, page_args
from chassis.problems import Problem, operators_only, read_json
from payments.account_store import AccountStore
from payments.account_terms import (
    MAX_BOOKING_KEY,
    PAYMENT_KEYS,
    AccountRefusal,
    AccountRefused,
    Booked,
    Move,
)
from payments.contract import ACCOUNT_ID, MAX_AMOUNT
from payments.model import Account, AccountBooks, Entry, Kind
from payments.store_credit import StoreCredit, Unanswered


class MoveBody(BaseModel):
    """An amount to come in or go out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    booking_key: str = Field(min_length=1, max_length=MAX_BOOKING_KEY)
    """The same key is the same booking, for ever."""
    amount: int = Field(ge=1, le=MAX_AMOUNT)
    """Minor units."""
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    """ISO 4217 code."""


class AccountApi:
    """The handlers. What is read is read from the table, and works while Temporal is away."""

    def __init__(self, store: AccountStore, credit: StoreCredit) -> None:
        """Take what they work with.

        Args:
            store: The accounts' memory.
            credit: Asks the accounts' workflows.
        """
        self._store = store
        self._credit = credit

    def routes(self, operator_token: SecretStr) -> list[web.RouteDef]:
        """The routes.

        Args:
            operator_token: What callers must show.
        """
        guarded = operators_only(operator_token)
        return [
            web.get("/accounts", guarded(self.list)),
            web.get("/accounts/{account_id}", guarded(self.get)),
            web.get("/accounts/{account_id}/statement", guarded(self.statement)),
            web.post("/accounts/{account_id}/deposits", guarded(self.deposit)),
            web.post("/accounts/{account_id}/withdrawals", guarded(self.withdraw)),
            web.post("/accounts/{account_id}/close", guarded(self.close)),
            web.post("/accounts/{account_id}/reopen", guarded(self.reopen)),
        ]

    async def list(self, request: web.Request) -> web.StreamResponse:
        """``GET /accounts?after=&limit=``: all accounts by id, each held against its ledger."""
        after, limit = page_args(request)
        return page([_audited(books) for books in await self._store.page(after, limit)], limit, "account_id")

    async def get(self, request: web.Request) -> web.StreamResponse:
        """``GET /accounts/{account_id}``: what an account holds."""
        return web.json_response(_shown(await self._account(request)))

    async def statement(self, request: web.Request) -> web.StreamResponse:
        """``GET /accounts/{account_id}/statement?after=&limit=``: an account's movements, oldest first."""
        after, limit = page_args(request)
        if after and not (after.isascii() and after.isdigit() and len(after) < 19):
            raise Problem(400, "Invalid Page", "after is not the number of an entry.", field="after")
        account = await self._account(request)
        entries = await self._store.statement(account.account_id, int(after or 0), limit)
        return page([_line(entry) for entry in entries], limit, "entry")

    async def deposit(self, request: web.Request) -> web.StreamResponse:
        """``POST /accounts/{account_id}/deposits``: bring an amount in. The first one opens the account."""
        account_id, move = _account_id(request), await _move(request)
        return await self._book(account_id, move, self._credit.deposit, Kind.DEPOSIT, move.amount)

    async def withdraw(self, request: web.Request) -> web.StreamResponse:
        """``POST /accounts/{account_id}/withdrawals``: take an amount out."""
        move = await _move(request)
        # Nobody may make workflows of accounts that are none by asking for their money.
        account_id = (await self._account(request)).account_id
        return await self._book(account_id, move, self._credit.withdraw, Kind.WITHDRAWAL, -move.amount)

    async def close(self, request: web.Request) -> web.StreamResponse:
        """``POST /accounts/{account_id}/close``: no deposit and no withdrawal any more."""
        return await self._set_open(request, open=False)

    async def reopen(self, request: web.Request) -> web.StreamResponse:
        """``POST /accounts/{account_id}/reopen``: deposits and withdrawals again."""
        return await self._set_open(request, open=True)

    async def _account(self, request: web.Request) -> Account:
        account_id = _account_id(request)
        account = await self._store.account(account_id)
        if account is None:
            raise Problem(404, "Not Found", f"There is no account {account_id}.")
        return account

    async def _book(
        self,
        account_id: str,
        move: Move,
        ask: Callable[[str, Move], Awaitable[Booked]],
        kind: Kind,
        amount: int,
    ) -> web.Response:
        unknown: Exception | None = None
        try:
            await ask(account_id, move)
        except AccountRefused as refused:
            _refuse(refused)
        except (Unanswered, TemporalUnavailable) as error:
            unknown = error
        # The booking is shown as it stands in the ledger, which also tells what became of an unanswered question.
        entry = await self._store.booking(move.booking_key)
        wanted = (account_id, kind, amount, move.currency)
        if entry is None or (entry.account_id, entry.kind, entry.amount, entry.currency) != wanted:
            raise _unknown() from unknown
        return web.json_response({"account_id": account_id, "currency": entry.currency} | _line(entry))

    async def _set_open(self, request: web.Request, *, open: bool) -> web.Response:  # noqa: A002 - as the table has it
        account = await self._account(request)
        try:
            await self._credit.set_open(account.account_id, open=open)
        except AccountRefused as refused:
            _refuse(refused)
        except (Unanswered, TemporalUnavailable) as unknown:
            if (await self._account(request)).open != open:
                raise _unknown() from unknown
        return web.json_response(_shown(await self._account(request)))


def _account_id(request: web.Request) -> str:
    account_id = request.match_info["account_id"]
    if re.fullmatch(ACCOUNT_ID, account_id) is None:
        raise Problem(400, "Invalid Account Id", "account_id is not an account's id.", field="account_id")
    return account_id


async def _move(request: web.Request) -> Move:
    body = await read_json(request, MoveBody)
    if body.booking_key.startswith(PAYMENT_KEYS) or not body.booking_key.isprintable():
        detail = f"booking_key must be printable, and not begin with {PAYMENT_KEYS}: such keys are the orders'."
        raise Problem(422, "Invalid Request", detail, field="booking_key")
    return Move(body.booking_key, body.amount, body.currency)


def _refuse(refused: AccountRefused) -> NoReturn:
    status, title = (404, "Not Found") if refused.kind == AccountRefusal.UNKNOWN_ACCOUNT else (409, "Conflict")
    raise Problem(status, title, f"{refused.detail}.", error=refused.kind) from refused


def _unknown() -> Problem:
    return Problem(
        503, "Service Unavailable", "It is not known yet what came of it: send the same again, under the same key."
    )


def _shown(account: Account) -> dict[str, Any]:
    return {
        "account_id": account.account_id,
        "currency": account.currency,
        "balance": account.balance,
        "open": account.open,
        "entries": account.entries,
        "created_at": account.created_at.isoformat(),
        "updated_at": account.updated_at.isoformat(),
    }


def _audited(books: AccountBooks) -> dict[str, Any]:
    return _shown(books.account) | {"ledger": books.ledger, "balanced": books.ledger == books.account.balance}


def _line(entry: Entry) -> dict[str, Any]:
    return {
        "entry": entry.entry,
        "booking_key": entry.booking_key,
        "kind": entry.kind,
        "amount": entry.amount,
        "balance_after": entry.balance_after,
        "order_id": entry.order_id,
        "booked_at": entry.booked_at.isoformat(),
    }
