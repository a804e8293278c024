"""What is changed beside a load: what came of it is told, and nothing else; whatever fails, it is changed back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from chassis.testing.waiting import eventually
from waybill.load.cut import CutShortError
from waybill.load.isolate import isolate
from waybill.load.mix import Mix
from waybill.load.options import Common, Isolate, Step
from waybill.load.outside import arranged
from waybill.load.report.model import Section
from waybill.load.session import Session, opened
from waybill.load.step import DOUBLED, HALVED, step
from waybill.load.targets import LoadError
from waybill.stack.spec import StackError

from .load_deployment import FakeDeployment, FakeTarget

COMMON = Common(Mix({"fulfilled": 1}), warm_up=0)
LONG = 600.0
"""Longer than any test may take: what is to come after it must not be waited for."""
STEP = Step(
    provider_seconds=0.0,
    rate=20.0,
    before_seconds=0.2,
    react_seconds=0.1,
    after_seconds=0.2,
    down_seconds=0.2,
    replicas=(2, 3),
)
ISOLATE = Isolate(rate=20.0, before_seconds=0.2, fault_seconds=0.2, after_seconds=0.2)
SLOW_SWIFT = {"latency_seconds": 0.5, "error_rate": 0.25}


class Scalable(FakeTarget):
    """Has one replica of everything, and as many as it is told.

    Attributes:
        scaled: To how many, in their order.
        before: Called, by a number, before there are so many; it may fail, or take its time.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        super().__init__(urls)
        self.scaled: list[int] = []
        self.before: dict[int, Callable[[], object]] = {}
        self._count = 1

    def replicas(self, service: str) -> int:
        return self._count

    async def scale(self, service: str, replicas: int) -> None:
        self.scaled.append(replicas)
        if replicas in self.before:
            waits = self.before[replicas]()
            if isinstance(waits, asyncio.Event):
                await waits.wait()
        self._count = replicas


@dataclass
class World:
    """A session on a deployment that does not exist.

    Attributes:
        session: The session.
        deployment: What it is on.
        target: The same, to be scaled.
        said: What was told.
    """

    session: Session
    deployment: FakeDeployment
    target: Scalable
    said: list[str] = field(default_factory=list)

    async def stopped(self, running: "asyncio.Task[Section]", when: Callable[[], object]) -> Section:
        """The section of an experiment that somebody stops when something holds."""
        await eventually(when)
        self.session.stop.set()
        return await running

    def orders(self) -> int:
        return len(self.session.ledger.entries)


@asynccontextmanager
async def built() -> AsyncIterator[World]:
    deployment, said = FakeDeployment(), list[str]()
    async with deployment.served() as urls:
        target = Scalable(urls)
        async with opened(target, "run", asyncio.Event(), said.append) as session:
            yield World(session, deployment, target, said)


def broken() -> None:
    raise StackError("shipping did not come up")


# Stopped by hand


async def test_a_step_that_is_stopped_before_it_tells_of_no_step() -> None:
    async with built() as world:
        options = replace(STEP, before_seconds=LONG)
        running = asyncio.create_task(step(world.session, COMMON, options))
        section = await world.stopped(running, world.orders)
    assert not [line for line in world.said if line.startswith("Step:")]
    assert section.results["marks_seconds"] == {}
    assert not [name for name in section.results if name.startswith("drained")]
    assert section.text[1:] == [f"It ended before this came: {DOUBLED}."]


async def test_a_step_that_is_stopped_in_its_middle_tells_of_no_way_down() -> None:
    async with built() as world:
        options = replace(STEP, after_seconds=LONG)
        running = asyncio.create_task(step(world.session, COMMON, options))
        section = await world.stopped(running, lambda: "Step: 3 replicas ready." in world.said)
    assert list(section.results["marks_seconds"]) == [DOUBLED, "scaling to 3", "3 replicas ready"]
    assert f"It ended before this came: {HALVED}." in section.text
    assert world.target.scaled == [2, 3, 1]


async def test_a_fault_that_did_not_begin_stands_in_no_report() -> None:
    async with built() as world:
        options = replace(ISOLATE, before_seconds=LONG)
        running = asyncio.create_task(isolate(world.session, COMMON, options))
        section = await world.stopped(running, world.orders)
    assert section.title == "Isolation: the fault did not begin"
    assert "It ended before the fault began." in section.text[0]
    assert section.results["fault"] is None
    assert list(section.results["parts"]) == ["before"]
    assert not [row for table in section.tables for row in table.rows if "fault" in row[0]]
    assert world.target.scaled == []
    assert not [line for line in world.said if line.startswith("Isolate:")]


async def test_a_fault_that_is_cut_short_is_mended_and_told_as_such() -> None:
    async with built() as world:
        options = replace(ISOLATE, fault_seconds=LONG)
        running = asyncio.create_task(isolate(world.session, COMMON, options))
        section = await world.stopped(running, lambda: 0 in world.target.scaled)
    assert section.title == "Isolation: shipping has no replica"
    assert "shipping has no replica, which was cut short." in section.text[0]
    assert list(section.results["parts"]) == ["before", "fault"]
    assert section.results["recovered_seconds"] is None
    assert world.target.scaled == [0, 1]


async def test_a_fault_that_came_and_went_has_three_parts() -> None:
    async with built() as world:
        section = await isolate(world.session, COMMON, ISOLATE)
    assert list(section.results["parts"]) == ["before", "fault", "after"]
    assert "After 0.2 s shipping has no replica, for 0.2 s." in section.text[0]
    assert world.target.scaled == [0, 1]


# What fails


async def test_a_load_ends_with_what_was_to_scale_beside_it_and_what_was_measured_is_kept() -> None:
    async with built() as world:
        world.target.before[3] = broken
        with pytest.raises(CutShortError, match="shipping did not come up") as cut:
            await step(world.session, COMMON, replace(STEP, after_seconds=LONG))
    section = cut.value.section
    assert section.results["orders_ended"] == world.orders() > 0
    assert list(section.results["marks_seconds"]) == [DOUBLED, "scaling to 3"]
    assert "step: ended early: what was to be changed meanwhile could not be." in section.warnings
    assert world.target.scaled == [2, 3, 1]


async def test_a_load_ends_where_no_provider_can_be_made_slow_and_what_was_measured_is_kept() -> None:
    async with built() as world:
        world.deployment.answers = {"PUT /sandbox/faults": 400}
        with pytest.raises(CutShortError, match="the sandbox answers 400 to PUT /faults") as cut:
            await isolate(world.session, COMMON, replace(ISOLATE, how="slow", after_seconds=LONG))
    section = cut.value.section
    assert section.title == "Isolation: the fault did not begin"
    assert section.results["parts"]["before"]["orders_ended"] == world.orders() > 0


async def test_what_fails_is_told_also_where_somebody_stops_it_at_that_moment() -> None:
    async with built() as world:

        def stop_and_fail() -> None:
            world.session.stop.set()
            broken()

        world.target.before[3] = stop_and_fail
        with pytest.raises(CutShortError, match="shipping did not come up"):
            await step(world.session, COMMON, STEP)
    assert world.target.scaled == [2, 3, 1]


async def test_a_pool_that_cannot_be_put_back_after_a_stop_is_told_of() -> None:
    async with built() as world:

        def broken_once() -> None:
            del world.target.before[1]
            broken()

        world.target.before[1] = broken_once
        running = asyncio.create_task(isolate(world.session, COMMON, replace(ISOLATE, fault_seconds=LONG)))
        with pytest.raises(CutShortError, match="shipping did not come up") as cut:
            await world.stopped(running, lambda: 0 in world.target.scaled)
    assert "shipping has no replica, which was cut short." in cut.value.section.text[0]
    assert world.target.scaled == [0, 1, 1]


# When what


async def test_the_load_counts_as_halved_when_it_is_and_not_when_slow_replicas_are_ready() -> None:
    async with built() as world:
        ready = asyncio.Event()
        world.target.before[3] = lambda: ready
        running = asyncio.create_task(step(world.session, COMMON, STEP))
        await eventually(lambda: f"Step: {HALVED}." in world.said)
        assert "Step: 3 replicas ready." not in world.said
        ready.set()
        section = await running
    assert list(section.results["marks_seconds"]) == [
        DOUBLED,
        "scaling to 3",
        HALVED,
        "3 replicas ready",
        "draining to 2",
        "2 replicas left",
    ]
    # They came when the load had gone: what it left drained by itself.
    assert {name for name in section.results if name.startswith("drained")} == {
        "drained_seconds_after_doubled",
        "drained_seconds_after_halved",
    }


async def test_a_backlog_of_which_one_kind_only_is_told_counts() -> None:
    async with built() as world:
        world.session.watcher.own = lambda: {"backlog/shipping/workflow": 3.0}
        section = await step(world.session, COMMON, STEP)
    assert section.results["backlog_max"] == 3.0


# Providers


async def test_providers_have_the_faults_of_before_when_an_experiment_is_over() -> None:
    async with built() as world:
        world.deployment.faults |= {"swift": SLOW_SWIFT, "gateway": {"outage": True}}
        before = dict(world.deployment.faults)
        async with arranged(world.session, "shipping", 5, 1.0):
            assert world.deployment.faults["swift"] == world.deployment.faults["budget"] == {"latency_seconds": 1.0}
            assert world.deployment.faults["gateway"] == {"outage": True}
    assert world.deployment.faults == before


async def test_slow_providers_that_are_the_fault_have_the_faults_of_before_when_it_is_mended() -> None:
    async with built() as world:
        world.deployment.faults["swift"] = SLOW_SWIFT
        before = dict(world.deployment.faults)
        section = await isolate(world.session, COMMON, replace(ISOLATE, how="slow"))
        assert world.deployment.asked.count("PUT /sandbox/faults") == 2
    assert section.results["fault"] == "the providers of shipping take 2.5 s"
    assert world.deployment.faults == before


async def test_providers_of_which_nobody_knows_how_they_were_are_left_as_they_are() -> None:
    async with built() as world:
        world.deployment.answers = {"GET /sandbox/faults": 500}
        with pytest.raises(LoadError, match="the sandbox answers 500 to GET /faults"):
            async with arranged(world.session, "shipping", 5, 1.0):
                raise AssertionError("it began")
    assert "PUT /sandbox/faults" not in world.deployment.asked
