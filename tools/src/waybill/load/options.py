"""What an experiment can be told. A short version of each is for a first look, within minutes on two cores.

With the defaults a pool is short of slots before two cores are short of time: an order takes about half a second of
them, and four slot-seconds of shipping where its carriers take a second.
"""

from dataclasses import asdict, dataclass, field

from waybill.load.arrivals import Bursts, Leg, Plan, Spacing
from waybill.load.generator import Bounds
from waybill.load.mix import USUAL, Mix

CARRIERS = ("swift", "steady", "budget")
"""Providers of shipping."""


@dataclass(frozen=True)
class Arrivals:
    """The load.

    Attributes:
        rate: Orders a second.
        seconds: For how long.
        ramp_to: Orders a second at the end, where the rate changes evenly.
        spacing: Of the orders.
        burst: Orders that come at once, besides.
        burst_every: Seconds from burst to burst.
        seed: Of what is random.
    """

    rate: float = 2.0
    seconds: float = 60.0
    ramp_to: float | None = None
    spacing: Spacing = Spacing.POISSON
    burst: int = 0
    burst_every: float = 10.0
    seed: int = 1

    def plan(self) -> Plan:
        """All intended starts."""
        end = self.rate if self.ramp_to is None else self.ramp_to
        bursts = Bursts(self.burst, self.burst_every) if self.burst else None
        return Plan((Leg(self.seconds, self.rate, end),), self.spacing, bursts, self.seed)


@dataclass(frozen=True)
class Common:
    """What all experiments share.

    Attributes:
        mix: Which orders.
        bounds: Where the generator stops or holds back.
        warm_up: Orders before anything is measured.
        histories: Orders whose histories are read afterwards.
        delivery_seconds: How long a parcel takes, where its delivery is measured too; else it takes an hour.
    """

    mix: Mix = field(default_factory=lambda: Mix(USUAL))
    bounds: Bounds = field(default_factory=Bounds)
    warm_up: int = 20
    histories: int = 10
    delivery_seconds: float | None = None

    def orders(self, phases: int = 1) -> int:
        """How many an experiment of some phases places at most."""
        return self.warm_up + phases * self.bounds.orders


@dataclass(frozen=True)
class Pool:
    """The pool alone.

    Attributes:
        replicas: Of shipping, one after the other.
        slots: Activities that one replica runs at once.
        provider_seconds: How long a carrier takes to answer.
        settle_seconds: From saturation to the first measured second.
        seconds: How long is measured.
        per_slot: Activities under way and waiting, for each slot.
    """

    replicas: tuple[int, ...] = (1, 2, 4, 8)
    slots: int = 10
    provider_seconds: float = 1.0
    settle_seconds: float = 8.0
    seconds: float = 40.0
    per_slot: float = 3.0


@dataclass(frozen=True)
class Whole:
    """Whole orders, with one pool varied.

    Attributes:
        service: Whose pool.
        replicas: One after the other.
        slots: Activities that one replica runs at once.
        provider_seconds: How long a carrier takes to answer.
        arrivals: The load at each point.
    """

    service: str = "shipping"
    replicas: tuple[int, ...] = (1, 2, 4)
    slots: int = 5
    provider_seconds: float = 1.0
    arrivals: Arrivals = Arrivals(rate=2.0, seconds=60.0)


@dataclass(frozen=True)
class Step:
    """The load doubles; replicas come and go.

    Attributes:
        service: Whose pool.
        slots: Activities that one replica runs at once.
        provider_seconds: How long a carrier takes to answer.
        rate: Orders a second before and after; in the middle it is twice that.
        before_seconds: At the first rate.
        react_seconds: From the step to when new replicas are asked for.
        after_seconds: From then to the end of the step, however long they take to be ready.
        down_seconds: At the first rate again; when it begins, the surplus replicas are told to go.
        replicas: Before, and in the middle.
        outside: Whether somebody else scales: an autoscaler, say.
    """

    service: str = "shipping"
    slots: int = 5
    provider_seconds: float = 1.0
    rate: float = 1.0
    before_seconds: float = 30.0
    react_seconds: float = 15.0
    after_seconds: float = 45.0
    down_seconds: float = 30.0
    replicas: tuple[int, int] = (1, 3)
    outside: bool = False


@dataclass(frozen=True)
class Isolate:
    """One pool is starved, or its provider slow.

    Attributes:
        service: Whose pool.
        how: ``starve`` takes its replicas away; ``slow`` makes its provider slow.
        slots: Activities that one replica runs at once.
        provider_seconds: How slow; less than the service's patience, or orders are refused rather than kept waiting.
        rate: Orders a second.
        before_seconds: With all well.
        fault_seconds: With the fault.
        after_seconds: With all well again.
        needless: Share of orders that do not need the pool.
    """

    service: str = "shipping"
    how: str = "starve"
    slots: int = 5
    provider_seconds: float = 2.5
    rate: float = 2.0
    before_seconds: float = 40.0
    fault_seconds: float = 40.0
    after_seconds: float = 40.0
    needless: float = 0.5


@dataclass(frozen=True)
class Short:
    """A first look: each experiment in small, within five minutes on two cores.

    Orders at a rate predict whole orders: at one rate for both there would be nothing to predict.

    Attributes:
        common: What all share.
        load: Orders at a rate.
        pool: The pool alone.
        whole: Whole orders.
        step: A step up, and down.
        isolate: A pool starved.
    """

    common: Common = Common(warm_up=10, histories=5)
    load: Arrivals = Arrivals(rate=1.0, seconds=30.0)
    pool: Pool = Pool(replicas=(1, 2, 4), settle_seconds=3.0, seconds=10.0)
    whole: Whole = Whole(replicas=(1, 2), arrivals=Arrivals(rate=2.0, seconds=12.0))
    step: Step = Step(
        rate=1.0, before_seconds=6.0, react_seconds=6.0, after_seconds=12.0, down_seconds=6.0, replicas=(1, 2)
    )
    isolate: Isolate = Isolate(rate=2.0, before_seconds=10.0, fault_seconds=10.0, after_seconds=12.0)


def told(**parts: object) -> dict[str, object]:
    """Options as a flat dictionary, for the report."""
    flat: dict[str, object] = {}
    for part, options in parts.items():
        for name, value in asdict(options).items():  # type: ignore[call-overload]
            flat[f"{part}.{name}"] = value
    return flat
