"""CPU of processes that come, go and come again under one name: none of it is lost, and none is negative."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from waybill.load.machine import Machine
from waybill.load.measure import Window
from waybill.load.watch import Mark

CODE = """
import time
while time.process_time() < {seconds}: pass
print("done", flush=True)
input()
"""


@asynccontextmanager
async def used(seconds: float) -> AsyncIterator[int]:
    """A process that has used so much CPU, and uses none any more. Yields its process id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CODE.format(seconds=seconds),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"done\n"
    try:
        yield process.pid
    finally:
        process.kill()
        await process.wait()


def cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def test_a_process_that_takes_a_name_counts_from_0_on_top_of_the_one_before() -> None:
    machine = Machine()
    async with used(0.3) as pid:
        first = machine.sample({"shipping": pid})["cpu_seconds/shipping"]
        assert first == pytest.approx(cpu(pid), abs=0.02)
    gone = machine.sample({})
    assert gone["cpu_seconds/shipping"] == first
    assert "memory_bytes/shipping" not in gone
    async with used(0.1) as pid:
        again = machine.sample({"shipping": pid})
        assert again["cpu_seconds/shipping"] == pytest.approx(first + cpu(pid), abs=0.02)
        assert again["memory_bytes/shipping"] > 0


async def test_a_process_that_came_and_went_in_a_window_is_in_its_sum() -> None:
    machine = Machine()
    begin = Mark(0.0, machine.sample({}))
    async with used(0.2) as pid:
        machine.sample({"shipping-2": pid})
        spent = cpu(pid)
    cores = Window(begin, Mark(2.0, machine.sample({}))).cores()
    assert cores["shipping-2"] == pytest.approx(spent / 2, abs=0.02)
    after = Window(Mark(2.0, machine.sample({})), Mark(3.0, machine.sample({}))).cores()
    assert "shipping-2" not in after


async def test_a_process_that_has_just_ended_leaves_what_it_used() -> None:
    machine = Machine()
    async with used(0.1) as pid:
        before = machine.sample({"shipping": pid})
    after = machine.sample({"shipping": pid})
    assert after["cpu_seconds/shipping"] == before["cpu_seconds/shipping"]
    assert "memory_bytes/shipping" not in after
