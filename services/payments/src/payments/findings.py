"""What the gateway knows of a key, read as the answer to what was asked under it; None if that has yet to happen."""

from payments import gateway as gw


def authorisation(operation: gw.Operation) -> gw.Authorised | gw.Declined | gw.Refused | None:
    """Of an authorisation."""
    match operation.status:
        case gw.Status.DECLINED:
            return gw.Declined(operation.reason or "declined")
        case gw.Status.VOIDED | gw.Status.BURNED:
            return gw.Refused.KEY_BURNED
        case _:  # captured and refunded come after it
            return gw.authorised(operation)


def capture(operation: gw.Operation) -> gw.Captured | gw.Declined | gw.Refused | None:
    """Of a capture."""
    if operation.status is gw.Status.DECLINED:
        return gw.Declined(operation.reason or "declined")
    return gw.captured(operation)


def void(operation: gw.Operation) -> gw.Voided | gw.Refused | None:
    """Of a void."""
    match operation.status:
        case gw.Status.VOIDED:
            return gw.Voided(operation.amount)
        case gw.Status.BURNED:
            return gw.Voided(0)
        case gw.Status.CAPTURED | gw.Status.REFUNDED:
            return gw.Refused.ALREADY_CAPTURED
        case _:  # still authorised, or declined and not yet burned
            return None


def refund(operation: gw.Operation) -> gw.Refunded | None:
    """Of a refund."""
    return gw.refunded(operation)
