import asyncio

import pytest

from chassis.shielding import uninterrupted
from chassis.testing.waiting import eventually


async def test_work_goes_on_to_its_end_however_often_its_waiter_is_cancelled() -> None:
    release = asyncio.Event()

    async def work() -> str:
        await release.wait()
        return "done"

    task = asyncio.create_task(uninterrupted(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    release.set()
    await eventually(task.done)
    assert task.result() == "done"


async def test_what_it_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await uninterrupted(work())
