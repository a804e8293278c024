"""The processes that benchmarks start and look at."""

import sys
from pathlib import Path

import psutil
import pytest

from waybill.bench import process, start_contests
from waybill.bench.harness import BenchError
from waybill.bench.start_contests import observe
from waybill.stack import Stack


async def test_a_worker_is_looked_at_when_it_polls_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_contests, "IDLE_SECONDS", 0.0)
    note = tmp_path / "pid"
    code = f"""
import os, pathlib, signal
pathlib.Path({str(note)!r}).write_text(str(os.getpid()))
print("starting", flush=True)
print('{{"event": "polling"}}', flush=True)
signal.pause()
"""
    seen = await observe([sys.executable, "-c", code], {})
    assert seen.start > 0
    assert seen.cpu > 0
    assert 0 < seen.alone <= seen.memory
    assert not psutil.pid_exists(int(note.read_text()))


async def test_a_worker_that_ends_instead_of_polling_is_an_error() -> None:
    with pytest.raises(BenchError, match="ended before it polled"):
        await observe([sys.executable, "-c", "print('no such setting')"], {})


async def test_a_worker_that_does_not_poll_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_SECONDS", 0.2)
    with pytest.raises(BenchError, match=r"did not poll within 0\.2 s"):
        await observe([sys.executable, "-c", "import signal; signal.pause()"], {})


@pytest.mark.parametrize(
    ("code", "seconds", "said"),
    [
        ("print('starting')", process.START_SECONDS, "ended before it polled"),
        ("import signal; signal.pause()", 0.2, r"did not poll within 0\.2 s"),
    ],
)
async def test_a_worker_that_does_not_poll_ends_its_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, seconds: float, said: str
) -> None:
    monkeypatch.setattr(process, "START_SECONDS", seconds)
    (tmp_path / "other_worker.py").write_text(code)
    with pytest.raises(BenchError, match=f"^other_worker {said}$"):
        async with process.worker("other_worker", "127.0.0.1:9", {"PYTHONPATH": str(tmp_path)}):
            raise AssertionError("it does not poll")


def test_a_process_that_is_down_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"^temporal: down, so that nobody knows what it takes$"):
        process.pids_of(Stack(tmp_path), ("temporal",))
