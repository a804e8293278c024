"""What a deployment needs at a rate: what an order costs, times orders a second, with headroom."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from waybill.planning.measured import Costs, Pool, Queue
from waybill.planning.queueing import busy, waiting

USUAL_RATES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
FAR = 1_000.0
"""Orders a second beyond which nobody should take a plan for more than an order of magnitude."""
SLACK = 1.1
"""A run's own rate, of arrivals at random, is known to about a tenth."""
DAY = 24 * 3600.0
CPU, LEAST = "CPU", "least"
GATEWAY_RATE = 100.0
"""Activities a second on the payments' queue, unless ``PAYMENTS_GATEWAY_RATE`` says otherwise."""


@dataclass(frozen=True)
class Options:
    """How much headroom a plan leaves.

    Attributes:
        utilisation: Of a core and of slots, at most, in the mean.
        least: Replicas of each pool, at least.
        retention_days: For how long Temporal keeps histories of what has ended.
    """

    utilisation: float = 0.6
    least: int = 2
    retention_days: float = 3.0


@dataclass(frozen=True)
class PoolNeed:
    """A pool at a rate.

    Attributes:
        replicas: Of the service, a core each.
        decided_by: What asked for so many: CPU, a kind of slots, or that there be no fewer.
        asked: How many each of these asked for.
        cores: In use.
        memory_bytes: Of all replicas.
        activities_per_second: On its queue.
        slots_in_use: Activity slots, in the mean; None where that is not known.
        tasks_waiting: For an activity slot, in the mean; None where that is not known.
        db_writes_per_second: None where they are not known.
        db_bytes_per_day: By which its database grows; None where that is not known.
    """

    replicas: int
    decided_by: str
    asked: Mapping[str, int]
    cores: float
    memory_bytes: float
    activities_per_second: float
    slots_in_use: float | None
    tasks_waiting: float | None
    db_writes_per_second: float | None
    db_bytes_per_day: float | None


@dataclass(frozen=True)
class TemporalNeed:
    """What Temporal does at a rate.

    Attributes:
        workflows_per_second: That start.
        events_per_second: That are written.
        state_transitions_per_second: By which servers are sized.
        actions_per_second: By which Temporal Cloud bills, at least; None where they are not known.
        history_bytes_per_day: That are added.
        history_bytes_kept: At the end of the retention.
    """

    workflows_per_second: float
    events_per_second: float
    state_transitions_per_second: float
    actions_per_second: float | None
    history_bytes_per_day: float
    history_bytes_kept: float


@dataclass(frozen=True)
class Forecast:
    """A deployment at a rate.

    Attributes:
        orders_per_second: The rate.
        times_the_run: The rate by that of the run.
        extrapolated: Whether the rate is more than the run had.
        far: Whether it is beyond what anybody should plan by one machine's figures.
        pools: By service.
        servers_cores: In use by PostgreSQL and Temporal.
        cores_in_use: All of it.
        cores_to_provide: A core for each replica, and those of the servers with headroom.
        pools_memory_bytes: Of all replicas.
        db_writes_per_second: Of all services; None where one is not known.
        db_bytes_per_day: The same.
        temporal: None where no histories were read.
    """

    orders_per_second: float
    times_the_run: float
    extrapolated: bool
    far: bool
    pools: Mapping[str, PoolNeed]
    servers_cores: Mapping[str, float]
    cores_in_use: float
    cores_to_provide: float
    pools_memory_bytes: float
    db_writes_per_second: float | None
    db_bytes_per_day: float | None
    temporal: TemporalNeed | None


def forecast(costs: Costs, rate: float, options: Options) -> Forecast:
    """What a rate takes.

    Args:
        costs: Of an order.
        rate: Orders a second.
        options: How much headroom.
    """
    pools = {name: _pool(each, rate, options) for name, each in costs.pools.items()}
    servers = {name: rate * each.cpu_seconds for name, each in costs.servers.items()}
    return Forecast(
        orders_per_second=rate,
        times_the_run=rate / costs.orders_per_second,
        extrapolated=rate > SLACK * costs.orders_per_second,
        far=rate > FAR,
        pools=pools,
        servers_cores=servers,
        cores_in_use=math.fsum([*(each.cores for each in pools.values()), *servers.values()]),
        cores_to_provide=math.fsum(
            [*(each.replicas for each in pools.values()), *(each / options.utilisation for each in servers.values())]
        ),
        pools_memory_bytes=math.fsum(each.memory_bytes for each in pools.values()),
        db_writes_per_second=_sum(each.db_writes_per_second for each in pools.values()),
        db_bytes_per_day=_sum(each.db_bytes_per_day for each in pools.values()),
        temporal=_temporal(costs, rate, options),
    )


def _sum(parts: Iterable[float | None]) -> float | None:
    """Of all parts; nothing where one is not known."""
    known = list(parts)
    return None if None in known else math.fsum(each for each in known if each is not None)


def _pool(pool: Pool, rate: float, options: Options) -> PoolNeed:
    cores = busy(rate, pool.cpu_seconds)
    # A process has one interpreter, and that one lock: more than a core is of no use to it.
    asked = {LEAST: options.least, CPU: _whole(cores / options.utilisation)}
    for kind, queue in pool.queues.items():
        if queue.slot_seconds is not None and queue.slots:
            asked[f"{kind} slots"] = _whole(busy(rate, queue.slot_seconds) / (queue.slots * options.utilisation))
    # Of several that ask for as many the first: who would do with fewer anyway is not told to tune anything.
    decided = max(asked, key=lambda name: asked[name])
    replicas = asked[decided]
    activities = pool.queues["activity"]
    load, slots = _slots(activities, rate, replicas)
    return PoolNeed(
        replicas,
        decided,
        asked,
        cores,
        replicas * pool.memory_bytes,
        rate * activities.tasks,
        load,
        None if load is None or slots is None else waiting(load, slots),
        None if pool.db_writes is None else rate * pool.db_writes,
        None if pool.db_bytes is None else rate * pool.db_bytes * DAY,
    )


def _slots(queue: Queue, rate: float, replicas: int) -> tuple[float | None, int | None]:
    if queue.slot_seconds is None or not queue.slots:
        return None, None
    return busy(rate, queue.slot_seconds), max(round(queue.slots * replicas), 1)


def _whole(number: float) -> int:
    """The next whole number; what is above one by an error of rounding only is that one."""
    return max(1, math.ceil(number - 1e-9))


def _temporal(costs: Costs, rate: float, options: Options) -> TemporalNeed | None:
    history = costs.history
    if history is None:
        return None
    per_day = rate * history.history_bytes * DAY
    return TemporalNeed(
        rate * history.workflows,
        rate * history.events,
        rate * history.state_transitions,
        None if history.actions is None else rate * history.actions,
        per_day,
        per_day * options.retention_days,
    )


def warnings(forecasts: Iterable[Forecast], costs: Costs) -> list[str]:
    """What these plans ask for that no number of replicas gives."""
    said = []
    payments = costs.pools["payments"].queues["activity"].tasks
    highest = max((each.orders_per_second for each in forecasts), default=0.0)
    if payments > 0 and highest * payments > GATEWAY_RATE:
        said.append(
            f"From {GATEWAY_RATE / payments:.0f} orders a second on the payments' queue lets too little through: "
            f"{GATEWAY_RATE:.0f} activities a second, whatever the replicas, unless PAYMENTS_GATEWAY_RATE says "
            "otherwise. The card gateway must agree to more."
        )
    return said
