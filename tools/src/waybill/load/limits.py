"""Which resource limited a point: the question that a figure without its answer leaves open."""

from dataclasses import dataclass
from enum import StrEnum

from waybill.load.measure import Window
from waybill.load.watch import KINDS
from waybill.stack import SERVICES

BUSY = 0.90
"""Share of the machine's CPU from which it is the limit: what is measured then is the machine."""
FULL = 0.93
"""Share of a pool's slots, in the mean, from which they are used up. Between two tasks a slot is free for a moment."""
STRANGERS = 0.2
"""Cores from which it is told that somebody else used them."""
WAITING = 2.0
"""Tasks that wait, in the middle of all samples, from which there is a backlog."""


class Resource(StrEnum):
    """What can be used up."""

    MACHINE = "machine"
    SLOTS = "slots"
    RATE = "rate"
    UNKNOWN = "unknown"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Limit:
    """What limited a point.

    Attributes:
        resource: Which.
        words: For a person.
    """

    resource: Resource
    words: str

    @property
    def machine(self) -> bool:
        """Whether the point says more about this machine than about Waybill."""
        return self.resource is Resource.MACHINE


def limit(window: Window) -> Limit:
    """What limited a stretch of time.

    The machine comes first: on a busy one everything else waits too. A queue with a backlog is limited by its slots if
    they are full, and else by what holds tasks back though there are free slots: a rate that the queue keeps, or a pool
    that does not poll.
    """
    busy = window.machine()
    if busy is not None and busy >= BUSY:
        strangers = window.strangers() or 0.0
        others = f", {strangers:.1f} cores of it by what is not Waybill's" if strangers >= STRANGERS else ""
        return Limit(Resource.MACHINE, f"this machine: {busy:.0%} of its CPU in use{others}")
    backlogs = {(queue, kind): window.waiting(queue, kind) for queue in SERVICES for kind in KINDS}
    (queue, kind), most = max(backlogs.items(), key=lambda each: each[1])
    if most < WAITING:
        return Limit(Resource.NOTHING, "nothing: no task waited for long")
    slots = window.slots(queue, kind)
    if slots is None:
        return Limit(Resource.UNKNOWN, f"{kind} tasks waited on {queue}, whose slots are not known")
    used, of = slots
    if used >= FULL * of:
        return Limit(Resource.SLOTS, f"{queue}'s {of:.0f} {kind} slots")
    return Limit(Resource.RATE, f"the rate of {queue}: {kind} tasks waited beside free slots")
