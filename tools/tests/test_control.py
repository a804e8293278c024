import os
import stat
from pathlib import Path

import aiohttp
import pytest

from chassis.testing.waiting import eventually
from waybill.stack import directory, state
from waybill.stack.control import Control, ControlClient
from waybill.stack.spec import StackError, State, Status
from waybill.stack.stack import Stack
from waybill.stack.waiting import together, uninterrupted


class FakeStack(Stack):
    """Does nothing, and remembers what it was asked."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.asked: list[tuple[object, ...]] = []

    async def status(self) -> list[Status]:
        return [Status("payments", State.HELD, None, 8003, 1, "it is held down")]

    async def kill(self, name: str, down_seconds: float = 0.0) -> None:
        if name == "nobody":
            raise StackError("there is no 'nobody'")
        self.asked.append(("kill", name, down_seconds))

    def pause(self, name: str, seconds: float | None = None) -> None:
        self.asked.append(("pause", name, seconds))

    async def scale(self, service: str, replicas: int) -> None:
        self.asked.append(("scale", service, replicas))


def note(directory: Path, url: str, token: str) -> None:
    state.StackState(os.getpid(), {}, {}, {}, "operator", url, token).write(directory)


async def test_a_command_reaches_the_running_stack(tmp_path: Path) -> None:
    stack = FakeStack(tmp_path)
    control = Control(stack, "secret")
    await control.open()
    note(tmp_path, control.url, "secret")
    async with ControlClient(tmp_path) as client:
        await client.act("payments", "kill", seconds=20)
        await client.act("payments", "pause", seconds=None)
        await client.act("shipping", "scale", replicas=2)
        assert stack.asked == [("kill", "payments", 20.0), ("pause", "payments", None), ("scale", "shipping", 2)]
        [status] = await client.status()
        assert status["state"] == "held down"
        await client.down()
        assert stack.down_asked.is_set()
    await control.close()


async def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path) -> None:
    control = Control(FakeStack(tmp_path), "secret")
    await control.open()
    note(tmp_path, control.url, "secret")
    async with ControlClient(tmp_path) as client:
        with pytest.raises(StackError, match="there is no 'nobody'"):
            await client.act("nobody", "kill")
        with pytest.raises(StackError, match="there is no action 'explode'"):
            await client.act("payments", "explode")
        for seconds in (-1, 1e9):
            with pytest.raises(StackError, match="seconds must be a number from 0"):
                await client.act("payments", "kill", seconds=seconds)
        with pytest.raises(StackError, match="whole number"):
            await client.act("shipping", "scale", replicas=1.5)
    await control.close()


async def test_nobody_acts_on_a_stack_without_its_token(tmp_path: Path) -> None:
    stack = FakeStack(tmp_path)
    control = Control(stack, "secret")
    await control.open()
    async with aiohttp.ClientSession() as session, session.post(f"{control.url}/down") as response:
        assert response.status == 401
    assert not stack.down_asked.is_set()
    await control.close()


async def test_a_stack_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    note(tmp_path, "http://127.0.0.1:9", "secret")
    async with ControlClient(tmp_path) as client:
        with pytest.raises(StackError, match="no stack is running"):
            await client.status()


def test_the_note_holds_tokens_and_is_for_its_owner_only(tmp_path: Path) -> None:
    note(tmp_path, "http://127.0.0.1:9", "secret")
    assert stat.S_IMODE((tmp_path / state.NAME).stat().st_mode) == 0o600
    assert state.read(tmp_path).control_token == "secret"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"owner": 1}'])
def test_a_note_that_cannot_be_read_is_said_to_be(tmp_path: Path, text: str) -> None:
    (tmp_path / state.NAME).write_text(text)
    with pytest.raises(StackError, match="cannot be read"):
        state.read(tmp_path)


def test_a_directory_is_emptied_only_if_it_is_a_stack_s(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StackError, match="neither empty nor a stack's"):
        directory.prepare(tmp_path, keep=False)
    assert (tmp_path / "thesis.tex").exists()


def test_what_an_earlier_stack_left_is_kept_only_on_request(tmp_path: Path) -> None:
    place = tmp_path / "stack"
    directory.prepare(place, keep=False)
    (place / "temporal.db").write_text("orders")
    directory.prepare(place, keep=True)
    assert (place / "temporal.db").exists()
    directory.prepare(place, keep=False)
    assert not (place / "temporal.db").exists()


def test_two_stacks_do_not_share_a_directory(tmp_path: Path) -> None:
    place = tmp_path / "stack"
    directory.prepare(place, keep=False)
    note(place, "http://127.0.0.1:9", "secret")
    with pytest.raises(StackError, match=r"running in .* already"):
        directory.prepare(place, keep=False)
    # A stranger under the number of a program that is gone was born after the note.
    os.utime(place / state.NAME, (0, 0))
    directory.prepare(place, keep=False)


async def test_the_first_failure_cancels_the_others_and_is_raised_by_itself() -> None:
    import asyncio

    cancelled = asyncio.Event()

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def failing() -> None:
        await asyncio.sleep(0)
        raise StackError("no")

    with pytest.raises(StackError, match="no"):
        await together([long(), failing()])
    assert cancelled.is_set()


async def test_an_uninterrupted_work_outlasts_two_cancellations() -> None:
    import asyncio

    release, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await release.wait()
        done.set()

    task = asyncio.create_task(uninterrupted(work()))
    await asyncio.sleep(0)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    release.set()
    await eventually(task.done)
    assert done.is_set()
    assert task.cancelled()
