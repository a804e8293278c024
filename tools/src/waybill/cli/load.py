"""``waybill load``: how much a deployment does, how its pools scale, and what keeps them apart."""

from typing import Annotated

import typer

from waybill.cli import asked, loading
from waybill.cli.asked import How, Part, Service
from waybill.cli.common import Token, Url, fail
from waybill.cli.loading import USUAL_MIX, Where, carry_out, mixed
from waybill.load.arrivals import Spacing
from waybill.load.conduct import DEFAULT_FOLDER, Experiment
from waybill.load.generator import Bounds
from waybill.load.isolate import both_kinds
from waybill.load.isolate import isolate as run_isolate
from waybill.load.options import Arrivals, Common, Isolate, Pool, Short, Step, Whole, told
from waybill.load.plain import plain
from waybill.load.pool import pool
from waybill.load.step import step as run_step
from waybill.load.whole import whole
from waybill.planning.compare import of_one_report
from waybill.stack import plan

app = typer.Typer(help="Load a deployment: orders at a rate, or an experiment.", invoke_without_command=True)


Rate = Annotated[float, typer.Option(min=0.01, max=10_000, help="Orders a second.")]
Seconds = Annotated[float, typer.Option(min=1, max=86_400)]
Replicas = Annotated[str, typer.Option(help="Numbers of replicas, one after the other, as N,N,….")]
Slots = Annotated[int, typer.Option(min=1, max=1000, help="Activities that one replica runs at once.")]
Provider = Annotated[float, typer.Option(min=0, max=60, help="Seconds that a provider takes to answer.")]


@app.callback()
def load(
    context: typer.Context,
    *,
    rate: Rate = 2.0,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="How long orders are placed.")] = 60.0,
    arrivals: Annotated[Spacing, typer.Option(help="How orders lie between each other.")] = Spacing.POISSON,
    ramp_to: Annotated[float | None, typer.Option(min=0, max=10_000, help="Rate at the end, reached evenly.")] = None,
    burst: Annotated[int, typer.Option(min=0, max=10_000, help="Orders that come all at once, besides.")] = 0,
    burst_every: Annotated[float, typer.Option(min=0.1, max=86_400, help="Seconds from burst to burst.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Of what is random: the same gives the same orders.")] = 1,
    mix: loading.Kinds = USUAL_MIX,
    failures: loading.Failures = 0.0,
    most_orders: loading.MostOrders = 100_000,
    most_in_flight: loading.MostInFlight = 2_000,
    warm_up: loading.WarmUp = 20,
    histories: loading.Histories = 10,
    delivery_seconds: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=3600,
            help="Parcels take so long, and are waited for: what a delivery costs is measured too. Else an hour.",
            show_default=False,
        ),
    ] = None,
    name: loading.Name = "",
    to: loading.Folder = DEFAULT_FOLDER,
    as_json: loading.AsJson = False,
    as_csv: loading.AsCsv = False,
    directory: loading.Stack = None,
    url: Url = None,
    token: Token = "",
    address: loading.Address = "",
    namespace: loading.Namespace = plan.NAMESPACE,
) -> None:
    """Place orders at a rate, whether or not those before were answered, and report what came of them.

    Exits with 1 if an order was lost or the audit found something. Other experiments are commands of their own.
    """
    if context.invoked_subcommand is not None:
        if given := asked.given(context, context.params):
            fail(f"options of {context.invoked_subcommand} stand behind it: {given[0]}")
        return
    where = Where(url, token, directory, address, namespace, name, to, as_json, as_csv, delivery_seconds)
    asked.orders_can_be(context, where, seconds, burst, burst_every)
    shared = Common(mixed(mix, failures), Bounds(most_orders, most_in_flight), warm_up, histories, delivery_seconds)
    load_of = Arrivals(rate, seconds, ramp_to, arrivals, burst, burst_every, seed)
    carry_out(
        where,
        "Load: orders at a rate",
        [lambda session: plain(session, shared, load_of)],
        told(load=load_of, common=shared),
    )


@app.command()
def scale(
    context: typer.Context,
    *,
    only: Annotated[Part | None, typer.Option(help="One of the two parts.")] = None,
    service: Annotated[Service, typer.Option(help="With whole orders: whose pool is varied.")] = Service.SHIPPING,
    replicas: Replicas = "1,2,4,8",
    slots: Annotated[int, typer.Option(min=1, max=1000, help="The pool alone: activities at once, a replica.")] = 10,
    order_slots: Annotated[int, typer.Option(min=1, max=1000, help="Whole orders: the same.")] = 5,
    provider_seconds: Provider = 1.0,
    pool_seconds: Annotated[float, typer.Option(min=3, max=3600, help="The pool alone: how long is measured.")] = 40.0,
    settle_seconds: Annotated[float, typer.Option(min=0, max=600, help="The pool alone: before that.")] = 8.0,
    rate: Rate = 2.0,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="Whole orders: how long at each point.")] = 60.0,
    mix: loading.Kinds = USUAL_MIX,
    failures: loading.Failures = 0.0,
    most_in_flight: loading.MostInFlight = 2_000,
    name: loading.Name = "",
    to: loading.Folder = DEFAULT_FOLDER,
    as_json: loading.AsJson = False,
    as_csv: loading.AsCsv = False,
    directory: loading.Stack = None,
) -> None:
    """Measure throughput and latency against the number of a pool's replicas."""
    numbers = asked.replicas(replicas)
    where = Where(directory=directory, name=name, to=to, as_json=as_json, as_csv=as_csv)
    asked.scale_can_be(context, where, only, service)
    shared = Common(mixed(mix, failures), Bounds(in_flight=most_in_flight))
    alone = Pool(numbers, slots, provider_seconds, settle_seconds, pool_seconds)
    orders = Whole(
        service.value, numbers, order_slots, asked.provider(service, provider_seconds), Arrivals(rate, seconds)
    )
    parts: list[tuple[Part, Experiment, dict[str, object]]] = [
        (Part.POOL, lambda session: pool(session, alone), {"pool": alone}),
        (Part.ORDERS, lambda session: whole(session, shared, orders), {"orders": orders, "common": shared}),
    ]
    chosen = [each for each in parts if only in {None, each[0]}]
    settings = {name: value for _, _, each in chosen for name, value in each.items()}
    carry_out(
        where,
        "Load: how a pool scales",
        [experiment for _, experiment, _ in chosen],
        told(**settings),
    )


@app.command()
def step(
    context: typer.Context,
    *,
    service: Annotated[Service, typer.Option(help="Whose pool.")] = Service.SHIPPING,
    rate: Rate = 1.0,
    replicas: Annotated[str, typer.Option(help="Before the step and after it, as N,N.")] = "1,3",
    outside: Annotated[
        bool, typer.Option("--outside", help="Scale nothing: somebody else does, an autoscaler.")
    ] = False,
    slots: Slots = 5,
    provider_seconds: Provider = 1.0,
    before_seconds: Seconds = 30.0,
    react_seconds: Annotated[float, typer.Option(min=0, max=86_400, help="From the step to new replicas.")] = 15.0,
    after_seconds: Seconds = 45.0,
    down_seconds: Seconds = 30.0,
    mix: loading.Kinds = USUAL_MIX,
    name: loading.Name = "",
    to: loading.Folder = DEFAULT_FOLDER,
    as_json: loading.AsJson = False,
    as_csv: loading.AsCsv = False,
    directory: loading.Stack = None,
    url: Url = None,
    token: Token = "",
    address: loading.Address = "",
    namespace: loading.Namespace = plan.NAMESPACE,
) -> None:
    """Double the load in mid-run, add replicas, take them away again, and see how long a backlog takes to drain."""
    numbers = asked.replicas(replicas)
    where = Where(url, token, directory, address, namespace, name, to, as_json, as_csv)
    asked.step_can_be(context, where, service, numbers, provider_seconds)
    shared = Common(mixed(mix))
    options = Step(
        service.value,
        slots,
        asked.provider(service, provider_seconds),
        rate,
        before_seconds,
        react_seconds,
        after_seconds,
        down_seconds,
        (numbers[0], numbers[1]),
        outside,
    )
    carry_out(
        where,
        "Load: a step up, and down",
        [lambda session: run_step(session, shared, options)],
        told(step=options, common=shared),
    )


@app.command()
def isolate(
    context: typer.Context,
    *,
    service: Annotated[Service, typer.Option(help="Whose pool: payments or shipping.")] = Service.SHIPPING,
    how: Annotated[How, typer.Option(help="Take its replicas away, or slow its provider.")] = How.STARVE,
    rate: Rate = 2.0,
    slots: Slots = 5,
    provider_seconds: Annotated[float, typer.Option(min=0.1, max=60, help="How slow.")] = 2.5,
    before_seconds: Seconds = 40.0,
    fault_seconds: Seconds = 40.0,
    after_seconds: Seconds = 40.0,
    needless: Annotated[float, typer.Option(min=0.05, max=0.95, help="Share of orders that do not need it.")] = 0.5,
    name: loading.Name = "",
    to: loading.Folder = DEFAULT_FOLDER,
    as_json: loading.AsJson = False,
    as_csv: loading.AsCsv = False,
    directory: loading.Stack = None,
    url: Url = None,
    token: Token = "",
    address: loading.Address = "",
    namespace: loading.Namespace = plan.NAMESPACE,
) -> None:
    """Starve one pool, or slow its provider, and see what the other pools and the orders that do not need it feel."""
    where = Where(url, token, directory, address, namespace, name, to, as_json, as_csv)
    asked.isolate_can_be(context, where, service, how)
    options = Isolate(
        service.value, how.value, slots, provider_seconds, rate, before_seconds, fault_seconds, after_seconds, needless
    )
    shared = Common(both_kinds(options))
    carry_out(
        where,
        "Load: isolation",
        [lambda session: run_isolate(session, shared, options)],
        told(isolate=options, common=shared),
    )


@app.command()
def short(
    *,
    name: loading.Name = "short",
    to: loading.Folder = DEFAULT_FOLDER,
    directory: loading.Stack = None,
) -> None:
    """All experiments, each in small: a first look, within five minutes on two cores."""
    small = Short()
    carry_out(
        Where(directory=directory, name=name, to=to),
        "Load: a first look",
        [
            lambda session: plain(session, small.common, small.load),
            lambda session: pool(session, small.pool),
            lambda session: whole(session, small.common, small.whole),
            lambda session: run_step(session, small.common, small.step),
            lambda session: run_isolate(session, small.common, small.isolate),
        ],
        told(
            load=small.load,
            pool=small.pool,
            orders=small.whole,
            step=small.step,
            isolate=small.isolate,
            common=small.common,
        ),
        [of_one_report],
    )
