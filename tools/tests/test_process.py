import asyncio
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from chassis.testing.waiting import eventually
from waybill.stack.process import Process
from waybill.stack.spec import Backoff, NotReady, Spec, StackError, State, Tell

IDLE = "import time\nprint('up', flush=True)\ntime.sleep(600)\n"
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(600)\n"
# The handler writes past Python's buffers: a signal may come while the first line is still being printed.
POLITE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'drained\\n'), sys.exit(0)))
print('up', flush=True)
time.sleep(600)
"""
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""
COUNTER = "import time\nwhile True:\n    print('tick', flush=True)\n    time.sleep(0.01)\n"

Make = Callable[..., Process]


@pytest_asyncio.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Process] = []

    def build(program: str | Sequence[str], *, tell: Tell = lambda _: None, **options: object) -> Process:
        command = [sys.executable, "-c", program] if isinstance(program, str) else program
        process = Process(
            Spec(
                name=f"p{len(made)}",
                command=command,
                environment=dict(os.environ),
                log=tmp_path / "logs" / f"p{len(made)}.log",
                backoff=Backoff(first=0.05, longest=0.1),
                **options,  # type: ignore[arg-type]
            ),
            tell=tell,
        )
        made.append(process)
        return process

    yield build
    for process in made:
        await process.stop(at_once=True)


def log(process: Process) -> str:
    return process.spec.log.read_text() if process.spec.log.exists() else ""


async def started(process: Process, word: str = "up") -> int:
    process.start()
    await eventually(lambda: word in log(process))
    assert process.pid is not None
    return process.pid


async def test_a_process_that_dies_is_started_again(make: Make) -> None:
    told: list[str] = []
    process = make(IDLE, tell=told.append)
    first = await started(process)
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: process.pid not in {None, first} and log(process).count("up") == 2)
    assert process.restarts == 1
    assert any("SIGKILL" in line for line in told)


async def test_a_process_that_dies_at_once_is_tried_again_and_again_with_pauses(make: Make) -> None:
    told: list[str] = []
    process = make("raise SystemExit(3)", tell=told.append)
    process.start()
    await eventually(lambda: len(told) >= 4)
    assert "0.1 s" in told[1]
    assert process.exit_code == 3


async def test_a_killed_process_stays_down_for_its_time_and_comes_back(make: Make) -> None:
    process = make(IDLE)
    first = await started(process)
    await process.kill(0.5)
    assert process.pid is None
    assert process.state is State.HELD
    assert not psutil.pid_exists(first)
    await eventually(lambda: log(process).count("up") == 2)


async def test_a_process_killed_for_ever_stays_down_until_it_is_started(make: Make) -> None:
    process = make(IDLE)
    await started(process)
    await process.kill(math.inf)
    assert process.state is State.HELD
    with pytest.raises(StackError, match="held down"):
        await process.kill()
    process.start()
    await eventually(lambda: log(process).count("up") == 2)


async def test_killing_takes_the_children_of_the_process_too(make: Make) -> None:
    process = make(PARENT)
    process.start()
    children = await eventually(lambda: psutil.Process(process.pid).children() if process.pid else [])
    await process.kill(math.inf)
    await eventually(lambda: not any(child.is_running() for child in children))


async def test_a_paused_process_does_nothing_until_it_is_resumed(make: Make) -> None:
    process = make(COUNTER)
    pid = await started(process, "tick")
    process.pause()
    await eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    with pytest.raises(NotReady, match="paused"):
        await process.probe()
    ticks = log(process).count("tick")
    process.resume()
    await eventually(lambda: log(process).count("tick") > ticks)
    assert process.pid == pid


async def test_a_pause_with_a_limit_ends_by_itself(make: Make) -> None:
    process = make(COUNTER)
    pid = await started(process, "tick")
    process.pause(0.2)
    await eventually(lambda: process.state is State.RUNNING and psutil.Process(pid).status() != psutil.STATUS_STOPPED)


async def test_a_paused_process_can_be_killed_and_stopped(make: Make) -> None:
    process = make(POLITE)
    await started(process)
    process.pause()
    await process.kill()
    await eventually(lambda: log(process).count("up") == 2 and process.state is State.RUNNING)
    process.pause()
    await process.stop()
    assert log(process).count("drained") == 1


async def test_stopping_asks_first_and_does_not_start_again(make: Make) -> None:
    process = make(POLITE)
    pid = await started(process)
    await process.stop()
    assert "drained" in log(process)
    assert process.state is State.STOPPED
    assert not psutil.pid_exists(pid)


async def test_a_process_that_does_not_listen_is_killed_after_its_time(make: Make) -> None:
    told: list[str] = []
    process = make(DEAF, stop_seconds=0.2, tell=told.append)
    pid = await started(process)
    await process.stop()
    assert not psutil.pid_exists(pid)
    assert any("did not stop" in line for line in told)


async def test_stopping_leaves_nothing_of_its_own_and_touches_nobody_else(make: Make) -> None:
    stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(600)")
    try:
        process, other = make(PARENT), make(IDLE)
        process.start()
        neighbour = await started(other)
        children = await eventually(lambda: psutil.Process(process.pid).children() if process.pid else [])
        await process.stop()
        await eventually(lambda: not any(child.is_running() for child in children))
        assert stranger.returncode is None
        assert psutil.pid_exists(neighbour)
    finally:
        stranger.kill()
        await stranger.wait()


async def test_a_process_can_be_stopped_while_it_is_being_started(make: Make) -> None:
    process = make(IDLE)
    process.start()
    await process.stop()
    assert process.pid is None
    assert process.state is State.STOPPED


async def test_a_stop_can_be_hurried(make: Make) -> None:
    process = make(DEAF, stop_seconds=600)
    await started(process)
    stopping = asyncio.create_task(process.stop())
    await asyncio.sleep(0)
    process.hurry()
    await asyncio.wait_for(stopping, 30)


async def test_a_process_is_in_a_session_of_its_own(make: Make) -> None:
    process = make(IDLE)
    pid = await started(process)
    assert os.getsid(pid) == pid
    assert os.getsid(pid) != os.getsid(0)


async def test_waiting_for_a_process_names_what_it_waits_for_and_shows_the_log(make: Make) -> None:
    async def never() -> None:
        raise NotReady("not ready: database: no such role")

    process = make(IDLE, ready=never)
    await started(process)
    with pytest.raises(StackError) as failure:
        await process.wait_ready(0.3)
    assert "waited 0.3 s for p0: not ready: database: no such role" in str(failure.value)
    assert "p0 | up" in str(failure.value)


async def test_wrong_settings_are_not_tried_again(make: Make) -> None:
    process = make("import sys; sys.stderr.write('P_PORT: is required\\n'); sys.exit(2)", final_codes=frozenset({2}))
    process.start()
    with pytest.raises(StackError, match="P_PORT: is required"):
        await process.wait_ready(30)
    assert process.state is State.FAILED
    assert process.restarts == 1


async def test_nobody_waits_for_a_process_that_dies_each_time(make: Make) -> None:
    async def never() -> None:
        raise NotReady("nobody answers")

    process = make("raise SystemExit('no module named yours')", ready=never)
    process.start()
    with pytest.raises(StackError, match=r"p0 dies each time, with code 1\n(.|\n)*no module named yours"):
        await process.wait_ready(60)


async def test_a_program_that_does_not_exist_is_named(make: Make) -> None:
    process = make(["/nowhere/at/all"])
    process.start()
    await eventually(lambda: "/nowhere/at/all: No such file" in log(process))
    await eventually(lambda: process.exit_code == 127)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a death signal")
async def test_a_process_does_not_outlive_a_killed_starter(tmp_path: Path) -> None:
    starter_program = f"""
import asyncio, os, sys
from pathlib import Path
from waybill.stack.process import Process
from waybill.stack.spec import Spec
async def main():
    spec = Spec("p", [sys.executable, "-c", {IDLE!r}], dict(os.environ), Path({str(tmp_path / "p.log")!r}))
    process = Process(spec)
    process.start()
    while process.pid is None:
        await asyncio.sleep(0.01)
    print(process.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", starter_program, stdout=asyncio.subprocess.PIPE
    )
    assert starter.stdout is not None
    child = psutil.Process(int(await starter.stdout.readline()))
    log = tmp_path / "p.log"
    await eventually(lambda: log.exists() and "up" in log.read_text())
    starter.kill()
    await starter.wait()
    await eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
