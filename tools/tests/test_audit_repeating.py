"""The audit that a deployment is watched by, as the process that it is."""

import asyncio
import shutil
import signal
import subprocess
import sysconfig
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from chassis.testing.ports import free_ports
from chassis.testing.serving import serve_app
from chassis.testing.waiting import eventually
from waybill.audit.metrics import AuditMetrics
from waybill.audit.reading import KEEPERS
from waybill.audit.rules import RULES, Violation
from waybill.audit.run import Report

from .test_audit_reading import TOKEN, FakeDeployment, order

DISCREPANCY = {"sku": "TEA-250", "warehouse": "north", "on_hand": 6, "moved": 5, "held": 0, "lines": 0}


@dataclass
class Watch:
    """A running audit, and what it watches."""

    process: Process
    world: FakeDeployment
    url: str

    async def text(self) -> str:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/metrics") as response:
                assert response.status == 200
                return await response.text()
        except aiohttp.ClientConnectionError:
            assert self.process.returncode is None
            return ""

    async def series(self) -> dict[str, float]:
        """What it exposes of its own, by name and rule."""
        return {
            sample.labels.get("rule", sample.name): sample.value
            for family in text_string_to_metric_families(await self.text())
            for sample in family.samples
            if sample.name.startswith("audit_") and sample.labels["service"] == "audit"
        }

    async def until(self, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        async def look() -> dict[str, float] | None:
            series = await self.series()
            return series if series and holds(series) else None

        found = await eventually(look, timeout=60)
        assert found is not None
        return found


@pytest_asyncio.fixture
async def watch() -> AsyncIterator[Watch]:
    world = FakeDeployment()
    world.books["orchestrator"] = [order("A1", notified=True)]
    effect = {"provider": "mailbox", "kind": "message", "key": "order:A1:message:rejected", "amount": None}
    world.books["sandbox"] = [{"order_id": "A1", "effects": [{**effect, "requests": 1}]}]
    [port] = free_ports(1)
    async with serve_app(world.app()) as base:
        urls = [part for keeper in KEEPERS for part in ("--url", f"{keeper}={base}/{keeper}")]
        process = await asyncio.create_subprocess_exec(
            Path(sysconfig.get_path("scripts")) / "waybill",
            *("audit", "--every", "0.1", "--metrics-port", str(port), "--token", TOKEN, *urls),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        yield Watch(process, world, f"http://127.0.0.1:{port}")
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_violation_shows_for_as_long_as_it_is_there(watch: Watch) -> None:
    fine = await watch.until(lambda series: series["audit_last_success_timestamp_seconds"] > 0)
    assert fine["audit_orders"] == 1
    assert {rule: fine[rule] for rule in RULES} == dict.fromkeys(RULES, 0)
    watch.world.discrepancies = [DISCREPANCY]
    wrong = await watch.until(lambda series: series["stock"] == 1)
    assert {rule: wrong[rule] for rule in RULES} == {**dict.fromkeys(RULES, 0), "stock": 1}
    watch.world.discrepancies = []
    await watch.until(lambda series: series["stock"] == 0)


async def test_books_that_cannot_be_read_end_nothing_and_count_as_no_success(watch: Watch) -> None:
    await watch.until(lambda series: series["audit_last_success_timestamp_seconds"] > 0)
    kept, watch.world.books["orchestrator"] = watch.world.books["orchestrator"], [{"order_id": "A1"}]
    assert watch.process.stderr is not None
    said = (await watch.process.stderr.readline()).decode()
    assert said.startswith("waybill: ")
    before = (await watch.series())["audit_last_success_timestamp_seconds"]
    watch.world.books["orchestrator"] = kept
    await watch.until(lambda series: series["audit_last_success_timestamp_seconds"] > before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_with_0_when_it_is_told_to_whatever_it_found(watch: Watch, number: signal.Signals) -> None:
    watch.world.discrepancies = [DISCREPANCY]
    await watch.until(lambda series: series.get("stock") == 1)
    watch.process.send_signal(number)
    out, _ = await watch.process.communicate()
    assert watch.process.returncode == 0
    assert b"TEA-250 in north: stock: " in out


async def test_promtool_finds_nothing_wrong(watch: Watch) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    await watch.until(lambda series: series["audit_last_success_timestamp_seconds"] > 0)
    check = await asyncio.create_subprocess_exec(
        promtool, "check", "metrics", stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, said = await check.communicate((await watch.text()).encode())
    assert (check.returncode, said.decode()) == (0, "")


def test_violations_are_counted_by_their_rule() -> None:
    metrics = AuditMetrics()
    metrics.show(
        Report(3, 1, (Violation("a", "stuck", "…"), Violation("b", "stuck", "…"), Violation("c", "order", "…")))
    )
    counted = {rule: metrics.registry.get_sample_value("audit_violations", {"rule": rule}) for rule in RULES}
    assert counted == {**dict.fromkeys(RULES, 0), "stuck": 2, "order": 1}
