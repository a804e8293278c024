"""Whether every order of a load test is accounted for, and in which words that is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from waybill.load.orders import Entry, Ledger

CLOSE_ENOUGH = 5
"""Orders that are told by name."""


@dataclass(frozen=True)
class Verdict:
    """On all orders of a test.

    Attributes:
        words: What became of them, a few words each.
        good: Whether each was taken, and ended as it should.
    """

    words: tuple[str, ...]
    good: bool


def judge(ledger: Ledger, *, interrupted: bool) -> Verdict:
    """Count the orders that did not do what they should.

    Args:
        ledger: Of the orders.
        interrupted: Whether somebody stopped the test: then nobody waited for orders that were under way, and that
            their ends, or their answers, are missing says nothing against the deployment. What was refused, or ended
            otherwise than it should, did so all the same.
    """
    entries, lost, unknown = ledger.entries, ledger.lost(), ledger.unknown()
    away = [each for each in entries if each.accepted is False]
    wrong = [each for each in entries if each.ended is not None and not each.right]
    # An answer that was an error may have come after the list had shown the order.
    taken = any(each.accepted or each.ended is not None for each in entries)
    untaken = not taken and any(each.answered is not None for each in entries)
    said = [f"{len(entries)} orders sent, {sum(each.ended is not None for each in entries)} ended"]
    if untaken:
        said.append("none was taken")
    if unknown:
        said.append(f"{len(unknown)} of which nobody knows ({_reasons(unknown)})")
    if away:
        said.append(f"{len(away)} refused at the door ({_reasons(away)})")
    if wrong:
        said.append(f"{len(wrong)} ended otherwise than they should ({_ends(wrong)})")
    if lost and interrupted:
        said.append(f"{len(lost)} under way when it was stopped")
    elif lost:
        said.append(f"{len(lost)} accepted and not ended ({_some([each.order_id for each in lost])})")
    missing = bool(lost or unknown) and not interrupted
    return Verdict(tuple(said), not (missing or away or wrong or untaken))


def _ends(entries: Sequence[Entry]) -> str:
    return _some([f"{each.order_id}: {each.outcome}, not {each.kind.expected}" for each in entries])


def _reasons(entries: Sequence[Entry]) -> str:
    """Each reason once, in the order in which they came."""
    return _some(list(dict.fromkeys(each.error or "not answered yet" for each in entries)))


def _some(words: Sequence[str]) -> str:
    return "; ".join(words[:CLOSE_ENOUGH]) + ("; …" if len(words) > CLOSE_ENOUGH else "")
