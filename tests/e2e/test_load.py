"""Load on real processes, in small: every order is accounted for, and what somebody stops is reported all the same."""

import asyncio
import csv
import json
import re
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from chassis.testing.waiting import eventually
from waybill.bench.scale_contests import Rounds
from waybill.bench.start_contests import Starts
from waybill.demo.run import INTERRUPTED
from waybill.demo.screen import Screen
from waybill.load.arrivals import Spacing
from waybill.load.conduct import GOOD, Conclusion, Experiment, Trial, conduct
from waybill.load.mix import Mix
from waybill.load.options import Arrivals, Common, Pool, Step, Whole
from waybill.load.outside import arranged
from waybill.load.plain import plain
from waybill.load.pool import SERVICE, pool
from waybill.load.progress import Progress
from waybill.load.report.model import Section
from waybill.load.session import Session, opened
from waybill.load.step import step
from waybill.load.targets import Embedded, Remote, Target, embedded, running
from waybill.load.whole import whole
from waybill.planning.compare import of_one_report
from waybill.planning.forecast import Options
from waybill.planning.plan import make
from waybill.planning.reports import newest
from waybill.stack import SERVICES, Stack

from .world import PATIENCE_SECONDS

SMALL = Common(Mix({"fulfilled": 1, "two-parcels": 1}, failures=0.25), warm_up=2, histories=1)
FEW = Arrivals(rate=4.0, seconds=3.0, spacing=Spacing.STEADY)


@asynccontextmanager
async def as_target(target: Target) -> AsyncIterator[Target]:
    """Of a stack that others use too."""
    yield target


async def run(
    target: Target, folder: Path, *experiments: Experiment, conclusions: Sequence[Conclusion] = ()
) -> tuple[int, dict[str, Any]]:
    trial = Trial("e2e", "Load", folder, as_target(target), experiments, {}, conclusions)
    code, _ = await conduct(trial, Progress(Screen(), silent=True))
    document: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return code, document


async def test_orders_at_a_rate_are_all_accounted_for(stack: Stack, tmp_path: Path) -> None:
    code, document = await run(Embedded(stack), tmp_path, lambda session: plain(session, SMALL, FEW))
    assert code == GOOD, document["verdict"]
    [section] = document["sections"]
    results = section["results"]
    assert results["orders_sent"] == 12
    assert results["orders_ended"] == 12
    assert results["open_loop"]
    assert results["orders_that_ended_otherwise"] == 0
    assert {"temporal", "postgres", "sandbox", *SERVICES} <= set(results["cpu_seconds_per_order"])
    assert all(results["db_writes_per_order"][service] > 0 for service in SERVICES)
    assert results["anatomy"]["fulfilled"]["events"] > 50
    assert results["anatomy"]["fulfilled"]["state_transitions"] > 20
    assert results["states_seconds_per_order"]["reserving"] > 0
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert len((tmp_path / "orders.csv").read_text().splitlines()) == 12 + SMALL.warm_up + 1
    assert re.fullmatch(r"1\.\d+\.\d+.*", document["versions"]["temporal"])
    assert re.match(r"\d+\.\d+", document["versions"]["postgresql"])


async def test_a_run_that_waits_for_its_parcels_is_one_to_plan_from(stack: Stack, tmp_path: Path) -> None:
    both = Mix({"fulfilled": 1, "two-parcels": 1})
    common = replace(SMALL, mix=both, delivery_seconds=0.5)  # as the stack's carriers have it
    code, document = await run(Embedded(stack), tmp_path / "a", lambda session: plain(session, common, FEW))
    assert code == GOOD, document["verdict"]
    [section] = document["sections"]
    assert not any("parcels" in warning for warning in section["warnings"])
    kinds = section["results"]["anatomy"].values()
    assert all(each["open_by_type"]["shipping.TrackShipment"] == 0 for each in kinds)
    assert all(each["events"] > each["actions"] > 20 for each in kinds)
    assert section["results"]["db_bytes_per_order"].keys() == set(SERVICES)
    found = newest(tmp_path)
    assert found.costs.delivered
    assert found.costs.gaps == ()
    plan = make(found, [1.0, 100.0], Options())
    assert all(pool.replicas >= 2 for forecast in plan.forecasts for pool in forecast.pools.values())
    assert plan.forecasts[1].cores_in_use > plan.forecasts[0].cores_in_use > 0


@pytest.mark.timeout(400)  # the pool is restarted twice
async def test_a_report_with_two_rates_sets_what_the_one_predicts_beside_the_other(
    stack: Stack, tmp_path: Path
) -> None:
    options = Whole(replicas=(1, 2), slots=5, provider_seconds=0.2, arrivals=replace(FEW, rate=2.0))
    target = Embedded(stack)
    try:
        code, document = await run(
            target,
            tmp_path,
            lambda session: plain(session, SMALL, FEW),
            lambda session: whole(session, SMALL, options),
            conclusions=[of_one_report],
        )
    finally:
        stack.env["shipping"].pop("SHIPPING_ACTIVITY_SLOTS")
        await stack.scale("shipping", 1)
        await stack.restart("shipping")
    assert code == GOOD, document["verdict"]
    _, points, found = document["sections"]
    assert "with shipping at 1, 2 replicas of 5 slots; its providers take 0.2 s" in points["text"][0]
    assert [each["to_the_end"]["orders_ended"] for each in points["results"]["points"]] == [6, 6]
    assert found["title"] == "Predicted against measured"
    last, at_rate = points["results"]["points"][-1], found["results"]["at_orders_per_second"]
    # Orders came at 2 a second; the mark of their end comes when the machine has the time to set it.
    assert at_rate == pytest.approx(last["orders_sent"] / last["seconds"])
    assert at_rate <= 2.4
    cpu = found["results"]["cpu_seconds_per_order"]
    assert {"temporal", "postgres", "all", *SERVICES} == set(cpu)
    assert all(pair["predicted"] > 0 and pair["measured"] > 0 for pair in cpu.values())
    assert "Predicted against measured" in (tmp_path / "report.html").read_text()


async def test_a_deployment_of_which_only_addresses_are_known_is_loaded_too(stack: Stack, tmp_path: Path) -> None:
    urls = {name: url for name, url in stack.urls.items() if name != "temporal"}
    target = Remote(urls, stack.operator_token, None)
    code, document = await run(target, tmp_path, lambda session: plain(session, SMALL, FEW))
    assert code == GOOD, document["verdict"]
    [section] = document["sections"]
    results = section["results"]
    assert results["machine_busy_share"] is None
    assert set(results["cpu_seconds_per_order"]) >= set(SERVICES)  # by their own word
    assert "anatomy" not in results
    assert document["versions"]["temporal"] == document["versions"]["postgresql"] == "not known"


def cpu(results: dict[str, Any]) -> dict[str, float]:
    """Cores of each process, none of which is less than nothing."""
    cores: dict[str, float] = results["cores"]
    assert {"temporal", "postgres", *SERVICES} <= set(cores)
    assert all(used >= 0 for used in cores.values()), cores
    return cores


@pytest.mark.timeout(300)  # the pool is restarted twice
async def test_a_step_up_and_down_loses_no_order_and_repeats_no_activity(stack: Stack, tmp_path: Path) -> None:
    options = Step(
        slots=2,
        provider_seconds=0.3,
        rate=1.0,
        before_seconds=2.0,
        react_seconds=1.0,
        after_seconds=4.0,
        down_seconds=2.0,
        replicas=(1, 2),
    )
    common = replace(SMALL, mix=Mix({"fulfilled": 1, "two-parcels": 1}))
    try:
        code, document = await run(Embedded(stack), tmp_path, lambda session: step(session, common, options))
    finally:
        stack.env["shipping"].pop("SHIPPING_ACTIVITY_SLOTS")
        await stack.restart("shipping")
    assert code == GOOD, document["verdict"]
    assert stack.replicas("shipping") == ["shipping"]
    [section] = document["sections"]
    results = section["results"]
    marks = list(results["marks_seconds"])
    assert marks == [
        "load doubled",
        "scaling to 2",
        "2 replicas ready",
        "load halved",
        "draining to 1",
        "1 replica left",
    ]
    with (tmp_path / "orders.csv").open() as file:
        placed = list(csv.DictReader(file))
    assert all(row["ended"] for row in placed)
    assert results["orders_ended"] == len(placed) - common.warm_up > 10
    assert results["backlog_max"] > 2
    assert results["drained_seconds_after_halved"] is not None
    # It came in the middle and went before the end, and what it used is in no other's sum.
    assert cpu(results)["shipping-2"] > 0
    drain = results["drain"]
    assert drain["orders_looked_at"] > 0
    assert drain["activities_lost"] == 0
    # A task that is handed out while a worker closes its polls is begun again: docs/load.md, "A step".
    assert all("timeout" in words for words in drain["activities_repeated"])
    assert drain["highest_attempt"] == 1 + bool(drain["activities_repeated"])
    assert any("2 replicas ready" in line for line in section["text"])


@pytest.mark.timeout(300)
async def test_a_starved_pool_holds_up_those_that_need_it_and_no_others(stack: Stack, tmp_path: Path) -> None:
    """By the command, on a stack that somebody else runs."""
    options = "--rate 2 --before-seconds 4 --fault-seconds 12 --after-seconds 2 --name tiny --json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "waybill", "load", "isolate", *options.split()),
        *("--directory", str(stack.directory), "--to", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    document = json.loads(told)
    assert process.returncode == GOOD, document["verdict"]
    assert document == json.loads((tmp_path / "tiny" / "report.json").read_text())
    assert document["settings"]["isolate.fault_seconds"] == 12
    assert document["settings"]["common.warm_up"] == Common().warm_up
    assert document["settings"]["common.mix"]["weights"]["fulfilled"] == 0.5
    [section] = document["sections"]
    results = section["results"]
    for part in results["parts"].values():
        cpu(part)
    assert "shipping" in results["parts"]["fault"]["cores"]
    # The fault is longer than the drain before it and the start after it, in which there is a replica that does not
    # poll. On a machine that is busy with something else, that is the limit; it is never a rate, for there is none.
    assert results["limited_by"]["fault"] in {"absent", "machine"}
    assert results["recovered_seconds"] is not None
    needless, needing = results["needless_latency_seconds"], results["needing_latency_seconds"]
    assert all(each[part]["count"] > 0 for each in (needless, needing) for part in ("before", "fault"))
    assert needing["fault"]["p50"] > needless["fault"]["p50"]
    ratios = results["latency_ratios_to_before"]
    for part in ("fault", "after"):  # how many came after it depends on how long the pool took to start
        expected = needless[part]["p95"] / needless["before"]["p95"] if needless[part]["count"] else None
        assert ratios["needless"][part]["p95"] == pytest.approx(expected)
    assert stack.replicas("shipping") == ["shipping"]


async def test_the_pool_alone_is_measured_at_saturation(stack: Stack, tmp_path: Path) -> None:
    options = Pool((1,), slots=5, provider_seconds=0.2, settle_seconds=1.0, seconds=4.0)
    target = Embedded(stack)
    try:
        code, document = await run(target, tmp_path, lambda session: pool(session, options))
    finally:
        stack.env["shipping"].pop("SHIPPING_ACTIVITY_SLOTS")
        await stack.restart("shipping")
    assert code == GOOD, document["verdict"]
    [section] = document["sections"]
    [point] = section["results"]["points"]
    # Five slots and a fifth of a second: never more than 25, however fast the machine is.
    assert 0 < point["activities_per_second"] <= 26
    assert point["workflows_failed"] == 0
    assert point["slots"] == point["queues"]["shipping/activity"]["slots_mean"] == 5
    assert section["charts"][0]["series"][0]["name"] == "shipping, 5 slots each"


async def test_a_running_stacks_pool_is_given_what_its_own_slots_take(stack: Stack, tmp_path: Path) -> None:
    options = Pool((1,), slots=5, provider_seconds=1.0, settle_seconds=2.0, seconds=4.0)
    async with running(stack.directory) as target:
        code, document = await run(target, tmp_path, lambda session: pool(session, options))
    assert code == GOOD, document["verdict"]
    [section] = document["sections"]
    [point] = section["results"]["points"]
    assert point["slots"] == 50  # as its settings are, whatever the options say
    # What saturates five slots never takes more of them than this.
    assert point["queues"]["shipping/activity"]["slots_used_mean"] > options.slots * options.per_slot
    assert section["charts"][0]["series"][0]["name"] == "shipping, 50 slots each"


async def test_a_pool_that_does_too_little_to_be_measured_is_not_left_out_in_silence(stack: Stack) -> None:
    options = Pool((1,), slots=1, provider_seconds=1.0, settle_seconds=0.0, seconds=0.1)
    try:
        async with opened(Embedded(stack), f"load{uuid.uuid4().hex[:8]}", asyncio.Event(), lambda _: None) as session:
            section = await pool(session, options)
    finally:
        stack.env["shipping"].pop("SHIPPING_ACTIVITY_SLOTS")
        await stack.restart("shipping")
    assert section.results == {"points": []}
    assert "1 replica: too little ended in 0.1 s to be measured." in section.warnings


async def test_a_pool_is_measured_at_each_number_of_replicas_in_turns(stack: Stack) -> None:
    options = Pool(slots=5, provider_seconds=0.2, settle_seconds=1.0, seconds=3.0)
    target = Embedded(stack)
    try:
        async with (
            opened(target, f"bench{uuid.uuid4().hex[:8]}", asyncio.Event(), lambda _: None) as session,
            arranged(session, SERVICE, options.slots, options.provider_seconds),
        ):
            [contest] = Rounds(session, options, {2: 0.9}).contests()
            two = await contest.ours()
            twice_one = await contest.baseline()
            detail = contest.detail()
    finally:
        stack.env["shipping"].pop("SHIPPING_ACTIVITY_SLOTS")
        await stack.restart("shipping")
    assert contest.name == "scale_pool_2"
    # Five slots and a fifth of a second: never more than 25 a replica, however fast the machine is.
    assert 0 < two <= 52
    assert 0 < twice_one <= 52
    assert "(1 of 1)" in str(detail["limited by"])
    assert stack.replicas("shipping") == ["shipping"]


async def test_a_bare_worker_is_looked_at_too(stack: Stack) -> None:
    seen = await Starts(stack).bare()
    assert seen.start > 0
    assert seen.memory > 20


async def test_what_somebody_stops_is_reported_and_loses_no_order(stack: Stack, tmp_path: Path) -> None:
    stop, told = asyncio.Event(), list[str]()
    sections: list[Section] = []

    async def after_some_orders(session: Session) -> None:
        await eventually(lambda: len(session.ledger.entries) >= SMALL.warm_up + 3, timeout=PATIENCE_SECONDS)
        stop.set()

    async with opened(Embedded(stack), "e2e-stopped", stop, told.append) as session:
        stopping = asyncio.create_task(after_some_orders(session))
        sections.append(await plain(session, SMALL, Arrivals(rate=2.0, seconds=300.0)))
        await stopping
    [section] = sections
    assert 3 <= section.results["orders_sent"] < 600
    assert any("stopped by hand" in warning for warning in section.warnings)


async def test_a_stack_of_its_own_is_killed_where_somebody_ends_the_load_at_once(tmp_path: Path) -> None:
    pids: dict[str, int] = {}

    async def starved(session: Session) -> Section:
        async with arranged(session, "shipping", slots=1, provider_seconds=1.0):
            pids.update(session.target.pids())
            await session.target.scale("shipping", 0)
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()
        raise AssertionError("nothing ever sets it")

    trial = Trial("e2e", "Load", tmp_path, embedded(tmp_path / "stack", {}, lambda _: None), [starved], {})
    code, document = await conduct(trial, Progress(Screen(), silent=True))
    assert (code, document) == (INTERRUPTED, None)
    assert {"temporal", "postgres", *SERVICES} <= set(pids)
    assert not [name for name, pid in pids.items() if psutil.pid_exists(pid)]
