"""What a reservation makes of an order: its parcels, and whether anybody can pay and carry it."""

from temporalio.exceptions import ApplicationError

from orchestrator import contract
from orchestrator.contracts import inventory, payments, shipping


def insist_on_limits(order: contract.Order, reservation: inventory.Reservation) -> None:
    """Refuse what the customer did not expect, and what payments or shipping would not even take as a question.

    Raises:
        ApplicationError: Of type ``price_changed``, ``total_out_of_range`` or ``too_many_parcels``.
    """
    total, expected = reservation.total, order.expected_total
    if expected is not None and (total > expected if reservation.missing else total != expected):
        raise _refusal(
            contract.Refusal.PRICE_CHANGED, f"The total is {total}, not {expected} {order.currency} in minor units."
        )
    if not 1 <= total <= payments.MAX_AMOUNT:
        raise _refusal(
            contract.Refusal.TOTAL_OUT_OF_RANGE,
            f"The total is {total} {order.currency} in minor units; one payment is from 1 to {payments.MAX_AMOUNT}.",
        )
    warehouses = len({line.warehouse for line in reservation.lines})
    if warehouses > shipping.MAX_PARCELS:
        raise _refusal(
            contract.Refusal.TOO_MANY_PARCELS,
            f"The goods lie in {warehouses} warehouses; one order goes out in at most {shipping.MAX_PARCELS} parcels.",
        )


def _refusal(kind: contract.Refusal, detail: str) -> ApplicationError:
    return ApplicationError(detail, type=kind, non_retryable=True)


def parcels_of(reservation: inventory.Reservation) -> tuple[shipping.Parcel, ...]:
    """One parcel for each warehouse that holds something, numbered from 1 in the order of their names."""
    weights: dict[str, int] = {}
    for line in reservation.lines:
        weights[line.warehouse] = weights.get(line.warehouse, 0) + line.quantity * line.unit_weight
    return tuple(
        shipping.Parcel(number, warehouse, weight)
        for number, (warehouse, weight) in enumerate(sorted(weights.items()), start=1)
    )
