"""What is asked of ``waybill load`` in vain, or against itself, is refused in one line: before anything is started."""

from collections.abc import Iterable
from enum import StrEnum

import typer

from waybill.cli.common import fail
from waybill.cli.loading import Where
from waybill.load.isolate import NEEDED_BY_ALL
from waybill.load.outside import PROVIDERS
from waybill.load.reach import absent
from waybill.stack.stack import MAX_REPLICAS


class Service(StrEnum):
    """Whose pool."""

    ORCHESTRATOR = "orchestrator"
    INVENTORY = "inventory"
    PAYMENTS = "payments"
    SHIPPING = "shipping"


class Part(StrEnum):
    """Of ``waybill load scale``."""

    POOL = "pool"
    ORDERS = "orders"


class How(StrEnum):
    """Of ``waybill load isolate``."""

    STARVE = "starve"
    SLOW = "slow"


OF_ORDERS = ("order_slots", "rate", "seconds", "mix", "failures", "most_in_flight")
OF_THE_POOL = ("slots", "pool_seconds", "settle_seconds")
"""Options of ``waybill load scale`` that are of one part only."""


def given(context: typer.Context, names: Iterable[str]) -> list[str]:
    """Those of some options that stand in the command line, rather than in the environment: as they are written."""
    written = {each.name: each.opts[0] for each in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in names}
    return [written[name] for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def refuse(context: typer.Context, names: Iterable[str], why: str) -> None:
    """End the command if one of some options is given, which would do nothing."""
    if found := given(context, names):
        fail(f"{found[0]} {why}")


def replicas(text: str) -> tuple[int, ...]:
    """``N,N,…`` as numbers. Ends the command if they are none, or too many replicas."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and 1 <= int(part) <= MAX_REPLICAS for part in parts):
        fail(f"--replicas: {text!r} is not N,N,… with numbers from 1 to {MAX_REPLICAS}")
    if len({int(part) for part in parts}) < len(parts):
        fail(f"--replicas: {text!r} has a number twice, and a report tells points apart by it")
    return tuple(int(part) for part in parts)


def orders_can_be(context: typer.Context, where: Where, seconds: float, burst: int, burst_every: float) -> None:
    """Of ``waybill load``. Ends the command if not."""
    _where_can_be(context, where)
    if not burst:
        refuse(context, ["burst_every"], "is of use with --burst only")
    elif burst_every >= seconds:
        fail(f"--burst: the first would come after {burst_every:g} s (--burst-every), and the load ends before")


def scale_can_be(context: typer.Context, where: Where, only: Part | None, service: Service) -> None:
    """Of ``waybill load scale``. Ends the command if not."""
    _where_can_be(context, where)
    if only is Part.POOL:
        refuse(context, OF_ORDERS, "is of whole orders, and --only pool leaves these out")
        if service is not Service.SHIPPING:
            fail("--service is of whole orders: the pool alone is shipping's")
    if only is Part.ORDERS:
        refuse(context, OF_THE_POOL, "is of the pool alone, and --only orders leaves it out")
        _has_providers(context, service)
    _slots_can_be_set(context, where, ["slots", "order_slots"])


def step_can_be(
    context: typer.Context, where: Where, service: Service, numbers: tuple[int, ...], provider_seconds: float
) -> None:
    """Of ``waybill load step``. Ends the command if not."""
    _where_can_be(context, where)
    if len(numbers) != 2 or numbers[0] >= numbers[1]:
        fail("--replicas is N,N: before the step, and more after it")
    if context.params["outside"]:
        refuse(context, ["replicas"], "says how many, and --outside leaves that to somebody else")
    elif where.url:
        fail("a deployment by --url cannot be scaled from here: --outside leaves it to you, or to an autoscaler")
    _has_providers(context, service)
    _slots_can_be_set(context, where, ["slots"])
    if provider(service, provider_seconds):
        _world_is_known(where, "; or --provider-seconds 0")


def isolate_can_be(context: typer.Context, where: Where, service: Service, how: How) -> None:
    """Of ``waybill load isolate``. Ends the command if not."""
    _where_can_be(context, where)
    if service in NEEDED_BY_ALL:
        fail(f"every order needs {service}: there is none to compare with; take payments or shipping")
    if how is How.SLOW:
        _world_is_known(where)
    else:
        refuse(context, ["provider_seconds"], "is of --how slow: who has no replica asks no provider")
        if where.url:
            fail("a deployment by --url cannot be starved from here, but its provider be slow: --how slow")
    _slots_can_be_set(context, where, ["slots"])


def provider(service: Service, seconds: float) -> float:
    """How long the providers of a service take: nothing, where it asks none."""
    return seconds if service in PROVIDERS else 0.0


def _where_can_be(context: typer.Context, where: Where) -> None:
    if where.as_json and where.as_csv:
        fail("--json prints a document and nothing else, --csv lines and nothing else: take one")
    if where.url and where.directory is not None:
        fail("--url names one deployment and --directory another")
    if where.url and (words := absent(where.urls)):
        fail(words)
    if where.delivery_seconds is not None and (where.url or where.directory is not None):
        fail("--delivery-seconds is of a stack of its own: elsewhere a parcel takes what it takes")
    if where.url and not where.address:
        refuse(context, ["namespace", "histories"], "is of use with Temporal's address only (--address)")
    if not where.url:
        refuse(context, ["token", "address", "namespace"], "is of use with --url only: a stack's own is known")


def _has_providers(context: typer.Context, service: Service) -> None:
    if service not in PROVIDERS:
        refuse(context, ["provider_seconds"], f"does nothing: {service} asks no provider; {', '.join(PROVIDERS)} do")


def _slots_can_be_set(context: typer.Context, where: Where, names: Iterable[str]) -> None:
    if where.url or where.directory is not None:
        refuse(context, names, "can be set on a stack of its own only: slots of others are as their settings are")


def _world_is_known(where: Where, otherwise: str = "") -> None:
    if where.url and "sandbox" not in where.urls:
        fail(f"how long providers take is the sandbox's, and no URL of one is given (--url sandbox=URL{otherwise})")
