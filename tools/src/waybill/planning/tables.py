"""A plan for reading: the same tables on a terminal and on a page, with the figures of the JSON document."""

from collections.abc import Callable, Sequence

from waybill.load.report.axes import number
from waybill.load.report.model import Chart, Section, Series, Table
from waybill.load.targets import Remote
from waybill.planning.forecast import FAR, Forecast, Options
from waybill.planning.measured import SERVERS
from waybill.planning.reports import Run
from waybill.stack import SERVICES

RATE = "orders a second"
GIB, MIB, KIB = 2.0**30, 2.0**20, 2.0**10
NOT_KNOWN = "not known"


def mark(forecast: Forecast) -> str:
    """Behind a rate: how far it is from what was measured."""
    return " **" if forecast.far else " *" if forecast.extrapolated else ""


def legend(forecasts: Sequence[Forecast], run: Run) -> list[str]:
    """What the marks mean, of those that there are."""
    said = []
    if any(each.extrapolated and not each.far for each in forecasts):
        said.append(f"* extrapolation: the run had {number(run.costs.orders_per_second)} orders a second.")
    if any(each.far for each in forecasts):
        said.append(
            f"** extrapolation beyond {number(FAR)} orders a second: an order of magnitude, no plan. Before that "
            "databases must be split, Temporal's too, of which these figures know nothing."
        )
    return said


def tables(forecasts: Sequence[Forecast], options: Options) -> list[Table]:
    """All figures, a row for each rate."""
    made = [
        _table("Replicas", forecasts, (*SERVICES, "all", "times the run"), _replicas),
        _table(
            "Cores in use, and to provide",
            forecasts,
            (*SERVICES, *(SERVERS[name] for name in _servers(forecasts)), "all", "to provide"),
            _cores,
        ),
        _table("Memory of the pools, GiB", forecasts, (*SERVICES, "all"), _memory),
        _table("Activities a second", forecasts, SERVICES, _activities),
        _table("Database writes a second", forecasts, (*SERVICES, "all"), _writes),
        _table("Databases grow by, GiB a day", forecasts, (*SERVICES, "all"), _growth),
    ]
    if all(each.temporal is not None for each in forecasts):
        days = f"GiB in {number(options.retention_days)} days"
        columns = ("workflows a second", "events", "state transitions", "Actions", "history GiB a day", days)
        made.append(_table("Temporal", forecasts, columns, _temporal))
    return made


def _table(
    title: str, forecasts: Sequence[Forecast], columns: Sequence[str], cells: Callable[[Forecast], list[str]]
) -> Table:
    rows = [(number(each.orders_per_second) + mark(each), *cells(each)) for each in forecasts]
    return Table(title, (RATE, *columns), rows)


def _servers(forecasts: Sequence[Forecast]) -> list[str]:
    return list(forecasts[0].servers_cores) if forecasts else []


def _replicas(forecast: Forecast) -> list[str]:
    return [
        *(f"{each.replicas} ({each.decided_by})" for each in forecast.pools.values()),
        str(sum(each.replicas for each in forecast.pools.values())),
        number(forecast.times_the_run),
    ]


def _cores(forecast: Forecast) -> list[str]:
    return [
        *(number(each.cores) for each in forecast.pools.values()),
        *(number(each) for each in forecast.servers_cores.values()),
        number(forecast.cores_in_use),
        number(forecast.cores_to_provide),
    ]


def _memory(forecast: Forecast) -> list[str]:
    return [number(each.memory_bytes / GIB) for each in forecast.pools.values()] + [
        number(forecast.pools_memory_bytes / GIB)
    ]


def _activities(forecast: Forecast) -> list[str]:
    return [number(each.activities_per_second) for each in forecast.pools.values()]


def _writes(forecast: Forecast) -> list[str]:
    return [_known(each.db_writes_per_second) for each in forecast.pools.values()] + [
        _known(forecast.db_writes_per_second)
    ]


def _growth(forecast: Forecast) -> list[str]:
    grown = [*(each.db_bytes_per_day for each in forecast.pools.values()), forecast.db_bytes_per_day]
    return [NOT_KNOWN if each is None else number(each / GIB) for each in grown]


def _temporal(forecast: Forecast) -> list[str]:
    need = forecast.temporal
    if need is None:
        return []
    return [
        number(need.workflows_per_second),
        number(need.events_per_second),
        number(need.state_transitions_per_second),
        _known(need.actions_per_second),
        number(need.history_bytes_per_day / GIB),
        number(need.history_bytes_kept / GIB),
    ]


def _known(value: float | None) -> str:
    return NOT_KNOWN if value is None else number(value)


def _mib(size: float | None) -> str:
    """In MiB."""
    return NOT_KNOWN if size is None else number(size / MIB)


def per_order(run: Run) -> Table:
    """What an order costs: the figures that all others are multiples of."""
    costs = run.costs
    rows = []
    for name, pool in costs.pools.items():
        kept = [each.slot_seconds for each in (pool.queues["activity"], pool.queues["workflow"])]
        rows.append(
            (
                name,
                number(1000 * pool.cpu_seconds),
                *(NOT_KNOWN if each is None else number(each) for each in kept),
                number(pool.queues["activity"].tasks),
                _known(pool.db_writes),
                NOT_KNOWN if pool.db_bytes is None else number(pool.db_bytes / KIB),
                number(pool.memory_bytes / MIB),
            )
        )
    rows += [
        (SERVERS[name], number(1000 * each.cpu_seconds), *[""] * 5, _mib(each.memory_bytes))
        for name, each in costs.servers.items()
    ]
    columns = ("activity slot s", "workflow slot s", "activities", "database writes", "database KiB", "MiB a process")
    return Table("An order", ("process", "CPU ms", *columns), rows)


def text(run: Run, options: Options) -> list[str]:
    """How the figures came about."""
    costs = run.costs
    # Of a deployment by its URLs only the generator's machine is known, and that is nothing to plan by.
    where = "" if run.target == Remote.kind else f", {run.machine['cores']} cores ({run.machine['processor']})"
    sizes = {name: each.memory_bytes for name, each in costs.servers.items()}
    servers = [f"{SERVERS[name]} {_mib(size)}{'' if size is None else ' MiB'}" for name, size in sizes.items()]
    said = [
        (
            f"From {run.path}: {costs.orders} orders at {number(costs.orders_per_second)} a second, on {run.target}"
            f"{where}, {run.began}."
        ),
        (
            f"Replicas: a core and slots are in use to {options.utilisation:.0%} at most, and no pool has fewer than "
            f"{options.least}. In brackets what decided: CPU, slots, or that there be no fewer (least)."
        ),
    ]
    if servers:
        said.append(
            f"PostgreSQL and Temporal: an indication, and rather too little. {' and '.join(servers)} at the run's end; "
            "their memory is by what they keep, not by orders a second. One server each, for Temporal the dev server "
            "with SQLite and without a guarantee against power cuts, stands here for what would be a cluster."
        )
    return said


def section(
    run: Run, forecasts: Sequence[Forecast], options: Options, warnings: Sequence[str], results: object
) -> Section:
    """The plan as a part of a page."""
    points = [
        Series(name, [(each.orders_per_second, float(each.pools[name].replicas)) for each in forecasts])
        for name in SERVICES
    ]
    chart = Chart("Replicas against orders a second", RATE, "replicas", points, markers=True)
    return Section(
        "Plan",
        [*text(run, options), *legend(forecasts, run)],
        [chart] if len(forecasts) > 1 else [],
        tables=[*tables(forecasts, options), per_order(run)],
        results={"plan": results},
        warnings=warnings,
    )
