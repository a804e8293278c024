"""The world of shipping's tests: a real database, and carriers of our own behind real HTTP."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import WorkflowHandle

from chassis.database import Database
from chassis.http import HttpClient
from chassis.testing.serving import serve_app
from shipping.activities import Activities, Terms
from shipping.carriers import Carriers
from shipping.metrics import ShippingMetrics
from shipping.picks import Picks
from shipping.reports import Reports
from shipping.store import Store

from .fake_carriers import FakeCarriers
from .world import CALL_SECONDS, CARRIERS, QUOTE_SECONDS, World


@pytest.fixture
def call_seconds() -> float:
    """Time-out of the world's calls to carriers. Tests name another as a parameter."""
    return CALL_SECONDS


@pytest_asyncio.fixture
async def world(fresh_database: Callable[[str], Awaitable[Database]], call_seconds: float) -> AsyncIterator[World]:
    database = await fresh_database("shipping.migrations")
    outside = FakeCarriers()
    http = HttpClient(timeout_seconds=call_seconds)
    async with serve_app(outside.app()) as url:
        metrics = ShippingMetrics(CARRIERS)
        store, reports = Store(database.engine, metrics), Reports(database.engine, metrics)
        carriers = Carriers(http, url, call_seconds=call_seconds)
        activities = Activities(store, reports, carriers, Terms(CARRIERS, QUOTE_SECONDS), metrics)
        picks = Picks(database.engine, metrics)
        yield World(database, store, reports, outside, carriers, activities, picks, metrics)
        outside.gate.set()
        outside.released.set()
        await http.close()


@pytest.fixture
def record() -> Callable[[WorkflowHandle[Any, Any], str], Awaitable[None]]:
    """Writes a workflow's history for the replay test, if RECORD_HISTORIES is set."""

    async def write(handle: WorkflowHandle[Any, Any], name: str) -> None:
        if os.environ.get("RECORD_HISTORIES"):
            history = json.loads((await handle.fetch_history()).to_json())
            path = Path(__file__).parent / "histories" / f"{name}.json"
            path.write_text(json.dumps(_anonymous(history), indent=1) + "\n")

    return write


def _anonymous(value: Any) -> Any:
    """Without the names of the machine and the folders where it was recorded; replay does not look at them."""
    if isinstance(value, dict):
        if value.get("kind") == "TASK_QUEUE_KIND_STICKY":
            return {**value, "name": "recorded"}
        return {
            key: "recorded" if key == "identity" else _anonymous(inner)
            for key, inner in value.items()
            if key != "stackTrace"
        }
    return [_anonymous(inner) for inner in value] if isinstance(value, list) else value
