"""The count of effects: what really happened at the providers, by idempotency key and by order."""

import sqlite3
import time
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from chassis.paging import page, page_args
from chassis.problems import Problem, operators_only
from sandbox.state import State

UNDO_KINDS = frozenset({"void", "cancellation"})
"""Effects that undo another one, and stand under its key."""


def count_request(transaction: sqlite3.Connection, provider: str, kind: str, key: str) -> None:
    """Count a request for an effect, whatever becomes of it.

    Args:
        transaction: In which the request is decided.
        provider: ``gateway``, ``mailbox``, or a carrier.
        kind: Of the effect, such as ``capture``.
        key: Idempotency key of the effect; an undo's is that of what it undoes.
    """
    transaction.execute(
        "INSERT INTO requests VALUES (?, ?, ?, 1) ON CONFLICT (key, provider, kind) DO UPDATE SET count = count + 1",
        (key, provider, kind),
    )


def record_effect(
    transaction: sqlite3.Connection, provider: str, kind: str, key: str, *, order_id: str, amount: int | None = None
) -> None:
    """Record that something happened.

    Args:
        transaction: In which it happens.
        provider: ``gateway``, ``mailbox``, or a carrier.
        kind: Of the effect, such as ``capture``.
        key: Idempotency key of the effect; an undo's is that of what it undoes.
        order_id: Whose effect it is.
        amount: Minor units, where money moved.
    """
    transaction.execute(
        "INSERT INTO effects (provider, kind, key, order_id, amount, at) VALUES (?, ?, ?, ?, ?, ?)",
        (provider, kind, key, order_id, amount, time.time()),
    )


class Ledger:
    """Answers about effects."""

    def __init__(self, state: State, operator_token: SecretStr) -> None:
        """The ledger in a database.

        Args:
            state: The database.
            operator_token: What operators send to read the audit.
        """
        self._state = state
        self._operators = operators_only(operator_token)

    def routes(self) -> list[web.RouteDef]:
        """``/audit`` and ``/effects``."""
        return [web.get("/audit", self._operators(self._get_audit)), web.get("/effects", self._get_effects)]

    def effects(self, key: str) -> dict[str, Any]:
        """How often something happened, and was asked for, under a key at all providers together.

        Args:
            key: Idempotency key.

        Returns:
            ``effects`` and ``requests`` under the key itself, ``undos`` of it, and the numbers of each kind.
        """
        with self._state.transaction() as transaction:
            kinds = {
                kind: {"effects": 0, "requests": requests}
                for kind, requests in transaction.execute(
                    "SELECT kind, sum(count) FROM requests WHERE key = ? GROUP BY kind ORDER BY kind", (key,)
                )
            }
            for kind, effects in transaction.execute(
                "SELECT kind, count(*) FROM effects WHERE key = ? GROUP BY kind", (key,)
            ):
                kinds[kind]["effects"] = effects
        return {
            "key": key,
            "effects": sum(counts["effects"] for kind, counts in kinds.items() if kind not in UNDO_KINDS),
            "requests": sum(counts["requests"] for kind, counts in kinds.items() if kind not in UNDO_KINDS),
            "undos": sum(counts["effects"] for kind, counts in kinds.items() if kind in UNDO_KINDS),
            "kinds": kinds,
        }

    def audit(self, after: str, limit: int) -> list[dict[str, Any]]:
        """The orders that had any effect, in the order of their ids, with all their effects.

        Args:
            after: Only orders with greater ids.
            limit: Most orders.
        """
        with self._state.transaction() as transaction:
            rows = transaction.execute(
                """
                SELECT e.order_id, e.provider, e.kind, e.key, e.amount, r.count AS requests
                FROM effects e JOIN requests r ON r.key = e.key AND r.provider = e.provider AND r.kind = e.kind
                WHERE e.order_id IN
                    (SELECT DISTINCT order_id FROM effects WHERE order_id > ? ORDER BY order_id LIMIT ?)
                ORDER BY e.order_id, e.number
                """,
                (after, limit),
            ).fetchall()
        orders: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            effect = {name: row[name] for name in ("provider", "kind", "key", "amount", "requests")}
            orders.setdefault(row["order_id"], []).append(effect)
        return [{"order_id": order_id, "effects": effects} for order_id, effects in orders.items()]

    async def _get_audit(self, request: web.Request) -> web.Response:
        after, limit = page_args(request)
        return page(self.audit(after, limit), limit, "order_id")

    async def _get_effects(self, request: web.Request) -> web.Response:
        key = request.query.get("key", "")
        if not key:
            raise Problem(400, "Missing Parameter", "key is required.", field="key", error="missing_parameter")
        return web.json_response(self.effects(key))
