"""What an order costs, by the report of a run of ``waybill load``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from waybill.load.watch import KINDS
from waybill.stack import SERVICES

TRACK = "shipping.TrackShipment"
SERVERS: Mapping[str, str] = {"postgres": "PostgreSQL", "temporal": "Temporal"}
"""What all services share, and how it is written. The outside world and the generator are no part of a deployment."""


MACHINE = ("cores", "processor")
"""What must be told of the machine of a run."""


class PlanError(Exception):
    """A plan that cannot be made; the message is for the person who asked."""


@dataclass(frozen=True)
class Queue:
    """One kind of tasks of one queue.

    Attributes:
        tasks: An order.
        slot_seconds: For how long an order's tasks keep slots, together; None where that is not known.
        slots: Of one replica; None where that is not known.
    """

    tasks: float
    slot_seconds: float | None
    slots: float | None


@dataclass(frozen=True)
class Seen:
    """The same queue while orders came.

    Attributes:
        slots_used: In the mean, of all replicas together; None where that is not known.
        slots: That there were.
        backlog: Tasks that waited, in the mean.
    """

    slots_used: float | None
    slots: float | None
    backlog: float | None


@dataclass(frozen=True)
class Pool:
    """One service.

    Attributes:
        replicas: In the run.
        cpu_seconds: An order, all replicas together.
        memory_bytes: Of one replica.
        queues: By the kind of tasks.
        db_writes: An order; None where that is not known.
        db_bytes: By which an order lets its database grow; None where that is not known.
    """

    replicas: int
    cpu_seconds: float
    memory_bytes: float
    queues: Mapping[str, Queue]
    db_writes: float | None
    db_bytes: float | None


@dataclass(frozen=True)
class Server:
    """PostgreSQL or Temporal.

    Attributes:
        cpu_seconds: An order.
        memory_bytes: At the end of the run; None where that is not known.
    """

    cpu_seconds: float
    memory_bytes: float | None


@dataclass(frozen=True)
class History:
    """What an order leaves in Temporal, in the mean of the mix.

    Attributes:
        workflows: How many it has.
        events: Of their histories.
        state_transitions: Made for them.
        actions: That Temporal Cloud would bill for; None in reports that do not say it.
        history_bytes: Of their histories.
    """

    workflows: float
    events: float
    state_transitions: float
    actions: float | None
    history_bytes: float


@dataclass(frozen=True)
class Costs:
    """What an order costs, and at which rate that was measured.

    Attributes:
        orders: That ended.
        orders_per_second: That were sent.
        arriving_seconds: For how long.
        pools: By service.
        servers: By name; those whose CPU is known.
        history: None where no histories were read.
        seen: Queues while orders came, by name and kind of tasks.
        delivered: Whether parcels came to their ends in the run.
        gaps: What the run does not tell, in words.
    """

    orders: int
    orders_per_second: float
    arriving_seconds: float
    pools: Mapping[str, Pool]
    servers: Mapping[str, Server]
    history: History | None
    seen: Mapping[str, Seen]
    delivered: bool
    gaps: tuple[str, ...]

    @property
    def cpu_seconds(self) -> dict[str, float]:
        """An order, by service and server."""
        pools = {name: each.cpu_seconds for name, each in self.pools.items()}
        return pools | {name: each.cpu_seconds for name, each in self.servers.items()}


def costs(results: Mapping[str, Any], arriving: Mapping[str, Any], sent: int) -> Costs:
    """Read the figures of a run.

    Args:
        results: From the first order's start to the last one's end, as ``measure.figures`` gives them.
        arriving: The same while orders came.
        sent: Orders that came.

    Raises:
        PlanError: If no order ended, or the CPU of a service is not known.
        KeyError, TypeError, ValueError: If these are no such figures.
    """
    orders, seconds = int(results["orders_ended"]), float(arriving["seconds"])
    if orders < 1 or sent < 1 or seconds <= 0:
        raise PlanError("no order ended in it")
    pools, gaps = _pools(results, orders)
    servers = {}
    for name, title in SERVERS.items():
        if name in results["cpu_seconds_per_order"]:
            # It may have been down, or started anew, at the last look.
            servers[name] = Server(results["cpu_seconds_per_order"][name], results["memory_bytes"].get(name))
        else:
            gaps.append(f"The CPU of {title} is not known: it is in no sum.")
    history, more = _history(results.get("anatomy", {}), results.get("shares", {}))
    return Costs(
        orders,
        sent / seconds,
        seconds,
        pools,
        servers,
        history,
        {name: _seen(arriving["queues"][name]) for name in (f"{each}/{kind}" for each in SERVICES for kind in KINDS)},
        _delivered(results.get("anatomy", {})),
        (*gaps, *more),
    )


def _pools(results: Mapping[str, Any], orders: int) -> tuple[dict[str, Pool], list[str]]:
    pools: dict[str, Pool] = {}
    gaps: list[str] = []
    cpu = _by_service(results["cpu_seconds_per_order"])
    memory = _by_service(results["memory_bytes"])
    missing = [name for name in SERVICES if name not in cpu or name not in memory]
    if missing:
        raise PlanError(f"it does not tell the CPU and memory of {', '.join(missing)}")
    for name in SERVICES:
        replicas = len(memory[name])
        queues = {}
        for kind in KINDS:
            told = results["queues"][f"{name}/{kind}"]
            used, slots = told["slots_used_mean"], told["slots_mean"]
            # The slots in use, as they were seen. Histograms of execution leave out how long the server takes to be
            # told of a task's end, while the slot is still taken.
            held = None if used is None else used * results["seconds"] / orders
            queues[kind] = Queue(told["tasks"] / orders, held, slots / replicas if slots else None)
        if any(each.slots is None for each in queues.values()):
            gaps.append(f"The slots of {name} are not known: its replicas are by CPU only.")
        writes = results["db_writes_per_order"].get(name)
        if writes is None:
            gaps.append(f"The database writes of {name} are not known.")
        mean = sum(memory[name]) / replicas
        pools[name] = Pool(
            replicas, sum(cpu[name]), mean, queues, writes, results.get("db_bytes_per_order", {}).get(name)
        )
    return pools, gaps


def _by_service(processes: Mapping[str, float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for process, value in processes.items():
        found.setdefault(process.partition("-")[0], []).append(value)
    return found


def _seen(queue: Mapping[str, Any]) -> Seen:
    return Seen(queue["slots_used_mean"], queue["slots_mean"], queue.get("backlog_mean"))


def _history(
    anatomy: Mapping[str, Mapping[str, Any]], shares: Mapping[str, float]
) -> tuple[History | None, tuple[str, ...]]:
    """The mean of all kinds of orders, by their shares in the mix."""
    known = {kind: share for kind, share in shares.items() if anatomy.get(kind, {}).get("orders")}
    whole = sum(known.values())
    if not whole:
        return None, ("No histories were read: of what an order leaves in Temporal nothing is known.",)

    def mean(figure: str) -> float:
        return sum(share * float(anatomy[kind][figure]) for kind, share in known.items()) / whole

    gaps = [f"No history of an order of kind {kind} was read." for kind in shares if kind not in known]
    billed = all("actions" in anatomy[kind] for kind in known)
    if not billed:
        gaps.append("The report is of a version that did not count Actions.")
    return (
        History(
            mean("workflows"),
            mean("events"),
            mean("state_transitions"),
            mean("actions") if billed else None,
            mean("history_bytes"),
        ),
        tuple(gaps),
    )


def _delivered(anatomy: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the parcels of all orders whose histories were read came to their ends, and there were any."""
    read = [each for each in anatomy.values() if each.get("orders")]
    parcels = sum(each["workflows_by_type"].get(TRACK, 0.0) for each in read)
    # Without a word of it, as in reports of before, it is taken that they did not.
    under_way = sum(each.get("open_by_type", each["workflows_by_type"]).get(TRACK, 0.0) for each in read)
    return bool(parcels) and not under_way
