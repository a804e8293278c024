"""Ctrl-C once: what was measured is reported. Twice: it ends at once."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import pytest

from chassis.testing.waiting import eventually
from waybill.demo.run import INTERRUPTED
from waybill.demo.screen import Screen
from waybill.load.conduct import BAD, Experiment, Trial, conduct
from waybill.load.mix import Mix
from waybill.load.options import Arrivals, Common
from waybill.load.plain import plain
from waybill.load.progress import Progress
from waybill.load.report.model import Section
from waybill.load.session import Session
from waybill.load.targets import LoadError, Target
from waybill.stack.waiting import uninterrupted

from .load_deployment import FakeDeployment, FakeTarget, entered, orders


class Entered(AbstractAsyncContextManager[Target]):
    """A target that takes its time to begin, or to end, unless it is hurried."""

    def __init__(self, target: Target, *, slow_to_begin: bool = False, slow_to_end: bool = False) -> None:
        self.hurried = asyncio.Event()
        self.beginning, self.ending = asyncio.Event(), asyncio.Event()
        self.left = False
        self._target = target
        self._slow_to_begin, self._slow_to_end = slow_to_begin, slow_to_end

    async def __aenter__(self) -> Target:
        self.beginning.set()
        if self._slow_to_begin:
            await asyncio.Event().wait()
        return self._target

    async def __aexit__(self, *_: object) -> None:
        self.ending.set()
        if self._slow_to_end:
            await uninterrupted(self._leave())

    async def _leave(self) -> None:
        await self.hurried.wait()
        self.left = True

    def hurry(self) -> None:
        self.hurried.set()


async def endless(_: Session) -> Section:
    """Sees nobody's wish to stop it."""
    await asyncio.Event().wait()
    raise AssertionError("nothing ever sets it")


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


async def pressed(target: Entered, folder: Path, experiment: Experiment, when: Callable[[], object]) -> int:
    """Ctrl-C, and once more when something holds; the exit code, where there is no report."""
    trial = Trial("fake", "Load", folder, target, [experiment], {})
    conducting = asyncio.create_task(conduct(trial, Progress(Screen(), silent=True)))
    await eventually(when)
    press_ctrl_c()
    press_ctrl_c()
    code, document = await conducting
    assert document is None
    assert not (folder / "report.json").exists()
    return code


async def test_ctrl_c_twice_ends_at_once_without_a_drain_and_without_a_report(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def deaf(session: Session) -> Section:
        begun.set()
        return await endless(session)

    async with FakeDeployment().served() as urls:
        target = Entered(FakeTarget(urls), slow_to_end=True)
        assert await pressed(target, tmp_path, deaf, begun.is_set) == INTERRUPTED
    assert target.hurried.is_set()
    assert target.left


async def test_ctrl_c_twice_ends_what_is_still_starting(tmp_path: Path) -> None:
    async with FakeDeployment().served() as urls:
        target = Entered(FakeTarget(urls), slow_to_begin=True)
        assert await pressed(target, tmp_path, endless, target.beginning.is_set) == INTERRUPTED
    assert target.hurried.is_set()


@pytest.mark.parametrize("error", [LoadError("the sandbox does not answer"), aiohttp.ClientError()], ids=repr)
async def test_what_fails_since_all_is_killed_does_not_hide_that_somebody_ended_it(
    error: Exception, tmp_path: Path
) -> None:
    begun = asyncio.Event()

    async def putting_back(session: Session) -> Section:
        begun.set()
        try:
            return await endless(session)
        finally:
            raise error

    async with FakeDeployment().served() as urls:
        assert await pressed(Entered(FakeTarget(urls)), tmp_path, putting_back, begun.is_set) == INTERRUPTED


async def test_ctrl_c_once_leaves_a_drain_its_time_and_twice_keeps_the_report_that_is_written(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def stopped_by_hand(session: Session) -> Section:
        begun.set()
        await session.stop.wait()
        return Section("Nothing")

    async with FakeDeployment().served() as urls:
        target = Entered(FakeTarget(urls), slow_to_end=True)
        trial = Trial("fake", "Load", tmp_path, target, [stopped_by_hand], {})
        conducting = asyncio.create_task(conduct(trial, Progress(Screen(), silent=True)))
        await eventually(begun.is_set)
        press_ctrl_c()
        await eventually(target.ending.is_set)
        assert not target.hurried.is_set()
        press_ctrl_c()
        code, document = await conducting
    assert (code, target.left) == (INTERRUPTED, True)
    assert document is not None
    assert document.interrupted


@pytest.mark.parametrize(
    "path", ["PUT /inventory/catalogue/TEA-250", "POST /inventory/receipts", "POST /orchestrator/orders"]
)
async def test_ctrl_c_once_is_heard_by_what_waits_for_an_answer(path: str, tmp_path: Path) -> None:
    deployment = FakeDeployment()
    deployment.answers = {path: 503}  # which is asked again and again; an order is not

    async def load(session: Session) -> Section:
        return await plain(session, Common(Mix({"fulfilled": 1}), warm_up=0), Arrivals(rate=5.0, seconds=300.0))

    async with deployment.served() as urls:
        trial = Trial("fake", "Load", tmp_path, entered(FakeTarget(urls)), [load], {})
        conducting = asyncio.create_task(conduct(trial, Progress(Screen(), silent=True)))
        await eventually(lambda: deployment.asked.count(path) >= 2)
        press_ctrl_c()
        code, document = await conducting
    assert document is not None
    assert document.interrupted
    assert [section.title for section in document.sections] == ["Orders at a rate"]
    assert code == (BAD if "orders" in path else INTERRUPTED), document.verdict  # no order was taken


async def test_ctrl_c_once_is_heard_by_the_audit(tmp_path: Path) -> None:
    deployment = FakeDeployment()
    deployment.answers = {"GET /shipping/audit": 503}
    async with deployment.served() as urls:
        trial = Trial("fake", "Load", tmp_path, entered(FakeTarget(urls)), [orders], {})
        conducting = asyncio.create_task(conduct(trial, Progress(Screen(), silent=True)))
        await eventually(lambda: "GET /shipping/audit" in deployment.asked)
        press_ctrl_c()
        code, document = await conducting
    assert code == INTERRUPTED
    assert document is not None
    assert document.verdict == "3 orders sent, 3 ended; not audited, since it was stopped."
