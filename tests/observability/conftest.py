"""One stack of real processes, the demo's orders and jobs placed on it, and a real Prometheus that watched."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from temporalio.client import Client

from chassis.testing.ports import free_ports
from waybill.demo.day import Day
from waybill.demo.jobs import Jobs
from waybill.demo.shop import Shop
from waybill.imports import Imports
from waybill.stack import SERVICES, Stack
from waybill.stack.plan import NAMESPACE

from .prometheus import Prometheus, prometheus, required

ENV = {
    # A parcel's whole life, and the question after it, within a test.
    "orchestrator": {"ORCHESTRATOR_REVIEW_SECONDS": "0", "ORCHESTRATOR_INTAKE_SECONDS": "0.5"},
    "sandbox": {"SANDBOX_DELIVERY_SECONDS": "0.5"},
    # The one activity of inventory that comes again and again: a series that does not grow has no percentiles.
    "inventory": {"INVENTORY_EXPIRY_SECONDS": "10"},
}
AUDIT_SECONDS = 5
RUN = "observed"
"""What the ids of the demo's orders begin with."""


@dataclass(frozen=True)
class Site:
    """What runs.

    Attributes:
        targets: Address of each job of the scrape configuration. Nothing listens at the collector's.
    """

    stack: Stack
    client: Client
    shop: Shop
    session: aiohttp.ClientSession
    targets: dict[str, str]


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    required("prometheus")
    directory: Path = tmp_path_factory.mktemp("stack")
    [audit_port, nobody] = free_ports(2)
    async with Stack(directory, env=ENV, spans=True) as stack, aiohttp.ClientSession() as session:
        command = ["-m", "waybill", "audit", "--every", str(AUDIT_SECONDS), "--metrics-port", str(audit_port)]
        with (directory / "audit.log").open("wb") as log:
            audit = await asyncio.create_subprocess_exec(
                sys.executable, *command, "--directory", str(directory), stdout=log, stderr=log
            )
            try:
                ports = {name: stack.ports[name] for name in SERVICES}
                ports |= {"temporal": stack.ports["temporal-metrics"], "audit": audit_port, "otel-collector": nobody}
                yield Site(
                    stack,
                    await Client.connect(stack.urls["temporal"], namespace=NAMESPACE),
                    Shop(session, stack.urls, stack.operator_token),
                    session,
                    {job: f"127.0.0.1:{port}" for job, port in ports.items()},
                )
            finally:
                if audit.returncode is None:
                    audit.terminate()
                await audit.wait()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def watching(site: Site, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    """A Prometheus with the committed rules that has watched the demo's orders and jobs from the first to the last."""
    async with prometheus(tmp_path_factory.mktemp("prometheus"), site.targets) as running:
        # A counter that is first seen after it has counted has not grown.
        for job in (*SERVICES, "temporal", "audit"):
            await running.scraped(job)
        await site.shop.stock_up(RUN)
        day = Day(site.shop, RUN)
        imports = Imports(site.session, site.stack.urls, site.stack.operator_token)
        folder = tmp_path_factory.mktemp("imported")
        jobs = Jobs(RUN, shop=site.shop, imports=imports, client=site.client, folder=folder, told=lambda _: None)
        await asyncio.gather(day.run(), jobs.beside_the_orders())
        await jobs.after_the_orders()
        wrong = [row.order_id for row in day.rows if not row.right]
        wrong += [f"{job.name}: {job.actual}" for job in jobs.all if not job.right]
        assert wrong == []
        yield running
