"""Statements that every order takes, built once: to put one together takes longer than to execute it.

Parameters that set a column have its name behind ``new_``; ``about`` is the order's id.
"""

from typing import Any

from sqlalchemy import bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from orchestrator.contract import Status
from orchestrator.states import State
from orchestrator.tables import orders, steps


def begun() -> dict[str, Any]:
    """Values of an order whose workflow is known to be started: it takes its stock, unless it got further already.

    Its input, which holds personal data, is forgotten.
    """
    first = case((orders.c.status == Status.ACCEPTED, Status.RESERVING), else_=orders.c.status)
    return {"started_at": func.coalesce(orders.c.started_at, func.now()), "request": None, "status": first}


_WRITTEN = (
    *("status", "reason", "detail", "total", "units", "parcels", "tracking_numbers"),
    *("decision", "approval", "missing", "sequence", "updated_at"),
)
"""Columns that a state sets: those of ``_values``."""


def _newer() -> ReturningUpdate[Any]:
    """Sets a newer state, and says what the order was before and since when."""
    was = select(orders).where(orders.c.order_id == bindparam("about")).with_for_update().cte("was")
    entered = (
        select(func.min(steps.c.at)).where(steps.c.order_id == was.c.order_id, steps.c.status == was.c.status)
    ).scalar_subquery()
    new = {name: bindparam(f"new_{name}", type_=orders.c[name].type) for name in _WRITTEN}
    return (
        update(orders)
        .where(orders.c.order_id == was.c.order_id, orders.c.sequence < new["sequence"])
        .values(new)
        .returning(was.c.status, was.c.created_at, was.c.import_id, entered.label("entered"))
    )


NEWER = _newer()
STEPS = insert(steps).on_conflict_do_nothing()
STARTED = update(orders).where(orders.c.order_id == bindparam("about")).values(begun())
NOTIFIED = update(orders).where(orders.c.order_id == bindparam("about")).values(notified=True)


def newer(state: State) -> dict[str, Any]:
    """Parameters of ``NEWER``."""
    return {"about": state.order_id, **{f"new_{name}": value for name, value in _values(state).items()}}


def _values(state: State) -> dict[str, Any]:
    return {
        "status": state.status,
        "reason": state.reason,
        "detail": state.detail,
        "total": state.total,
        "units": state.units,
        "parcels": state.parcels,
        "tracking_numbers": list(state.tracking_numbers),
        "decision": state.decision,
        "approval": state.approval,
        "missing": [list(line) for line in state.missing],
        "sequence": state.sequence,
        "updated_at": state.at,
    }


def first(state: State) -> ReturningInsert[tuple[str]]:
    """Makes the row of an order that did not come through the intake, unless somebody else just did."""
    began = state.passed[0].at if state.passed else state.at
    new = insert(orders).values(
        order_id=state.order_id,
        lines=[list(line) for line in state.lines],
        currency=state.currency,
        delivery_sequence=0,
        notified=False,
        created_at=began,
        started_at=began,
        **_values(state),
    )
    return new.on_conflict_do_nothing().returning(orders.c.order_id)


def steps_of(state: State) -> list[dict[str, Any]]:
    """Parameters of ``STEPS``: those that the state passed, and its own."""
    went = [(one.sequence, one.status, one.at, None) for one in state.passed]
    return [
        {"order_id": state.order_id, "sequence": sequence, "status": status, "at": at, "detail": detail}
        for sequence, status, at, detail in (*went, (state.sequence, state.status, state.at, state.detail))
    ]
