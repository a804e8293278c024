"""Which resource limited a point: the question that a figure without its answer leaves open."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from waybill.load.measure import Window, lives, slots_of
from waybill.load.watch import KINDS, Sample
from waybill.stack import SERVICES

BUSY = 0.90
"""Share of the machine's CPU from which it is the limit: what is measured then is the machine."""
FULL = 0.93
"""Share of a pool's slots from which they are used up. Between two tasks a slot is free for a moment."""
STRANGERS = 0.2
"""Cores from which it is told that somebody else used them."""
WAITING = 2.0
"""Tasks that wait from which there is a backlog."""


class Resource(StrEnum):
    """What can be used up."""

    MACHINE = "machine"
    SLOTS = "slots"
    ABSENT = "absent"
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

    The machine comes first: on a busy one everything else waits too. Then comes the queue with the longest backlog, by
    the middle of all samples. Why its tasks waited, the samples say in which some did: those before there was a backlog
    have free slots, and those after it too. Nobody was there, or all slots were taken, or there were free ones, and
    something else held tasks back: a rate that the queue keeps, or a replica that does not poll.
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
    waiting = [each for each in window.samples if each.values.get(f"backlog/{queue}/{kind}", 0.0) >= WAITING]
    if _absent(waiting, queue):
        return Limit(Resource.ABSENT, f"{queue}, which had no replica: {kind} tasks waited for one")
    slots = [pair for each in waiting if (pair := slots_of(each, queue, kind)) is not None]
    if not slots:
        return Limit(Resource.UNKNOWN, f"{kind} tasks waited on {queue}, whose slots are not known")
    # The middle again: a replica that drains takes nothing more, and keeps its slots for some moments.
    if statistics.median(used / of for used, of in slots) >= FULL:
        least, most = min(of for _, of in slots), max(of for _, of in slots)
        number = f"{most:.0f}" if least == most else f"{least:.0f} to {most:.0f}"
        return Limit(Resource.SLOTS, f"{queue}'s {number} {kind} slots")
    return Limit(
        Resource.RATE,
        f"a rate limit of {queue}, or a replica that does not poll: {kind} tasks waited beside free slots",
    )


def _absent(waiting: Sequence[Sample], service: str) -> bool:
    """Whether a service had no process most of the time while its tasks waited."""
    seen = [there for each in waiting if (there := lives(each, service)) is not None]
    return seen.count(False) > len(seen) / 2
