"""The demo from its first process to its last."""

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from temporalio.client import Client

from waybill import story
from waybill.audit.reading import Reader
from waybill.audit.run import Report, audit
from waybill.demo.day import Day, Row
from waybill.demo.jobs import Job, Jobs
from waybill.demo.samples import STORY
from waybill.demo.screen import Board, Screen
from waybill.demo.shop import Shop
from waybill.imports import Imports
from waybill.stack import Stack
from waybill.stack.plan import NAMESPACE, USUAL_PORTS
from waybill.stack.state import DEFAULT_DIRECTORY

DEFAULT_REPORT = Path("build/demo.json")
AUDIT_SECONDS = 180.0
"""How long the audit waits for orders that are under way."""
INTERRUPTED = 130
"""Exit code of a program that Ctrl-C ended before it was done."""

ENV = {
    # So that a whole life, from order to review request, fits into a demo.
    "orchestrator": {"ORCHESTRATOR_REVIEW_SECONDS": "2"},
    "sandbox": {"SANDBOX_DELIVERY_SECONDS": "3"},
}


@dataclass(frozen=True)
class Options:
    """What the demo can be told.

    Attributes:
        once: End by itself after the samples and the audit.
        keep: Begin with the state that the last run left.
        directory: For state and logs.
        report: Where the result is written.
        ports: Ports that must be, by name.
    """

    once: bool = False
    keep: bool = False
    directory: Path = DEFAULT_DIRECTORY
    report: Path = DEFAULT_REPORT
    ports: Mapping[str, int] = field(default_factory=dict)


async def demo(options: Options, screen: Screen) -> int:
    """Run the demo until it is done, or somebody ends it.

    Args:
        options: What it was told.
        screen: To show it on.

    Returns:
        The exit code: 0 if every order ended as it should and the audit found nothing, 1 if not, 130 if interrupted.

    Raises:
        StackError, PortTaken, OSError: If the stack cannot be started.
    """
    began = time.monotonic()
    stack = Stack(
        options.directory,
        keep=options.keep,
        leave=not options.once,
        stated_ports=options.ports,
        preferred_ports=USUAL_PORTS,
        env=ENV,
        ui=True,
        spans=True,
        tell=lambda line: screen.say(f"  {line}", style="yellow"),
    )
    result = _Result()
    ending = _Ending(stack, screen)
    with ending:
        try:
            screen.say(f"Starting Temporal, PostgreSQL, the sandbox and four services (logs: {stack.directory}/logs)")
            async with stack:
                screen.say(f"All ready after {time.monotonic() - began:.1f} s. Placing the sample orders.")
                await _work(stack, screen, options, result, began)
                if not options.once:
                    screen.say("The stack stays up until Ctrl-C (or: waybill down).", style="bold")
                    await stack.down_asked.wait()
                screen.say("Stopping.")
        except asyncio.CancelledError:
            if not ending.asked:
                raise
    if result.code is None:
        return INTERRUPTED
    return result.code


@dataclass
class _Result:
    code: int | None = None


async def _work(stack: Stack, screen: Screen, options: Options, result: _Result, began: float) -> None:
    run = time.strftime("%H%M%S")
    async with aiohttp.ClientSession() as session:
        shop = Shop(session, stack.urls, stack.operator_token)
        await shop.stock_up(run)
        board = Board(screen)
        day = Day(shop, run, _announcing(board.changed, screen, began))
        board.rows = day.rows
        client = await Client.connect(stack.urls["temporal"], namespace=NAMESPACE)
        imports = Imports(session, stack.urls, stack.operator_token)
        jobs = Jobs(run, shop=shop, imports=imports, client=client, folder=stack.directory, told=board.told)
        with board:
            await asyncio.gather(day.run(), jobs.beside_the_orders())
            await jobs.after_the_orders()
        await _tell_story(stack, screen, day.rows)
        reader = Reader(session, stack.urls, stack.operator_token)
        screen.say("Auditing: do the books of all services and the outside world fit together?")
        found = await audit(reader, wait_seconds=AUDIT_SECONDS)
    write_report(options.report, day.rows, jobs.all, found)
    result.code = conclude(screen, day.rows, jobs.all, found, options.report)
    if not options.once:
        _show_urls(stack, screen)


def _announcing(changed: Callable[[Row], None], screen: Screen, began: float) -> Callable[[Row], None]:
    """Also say when the first order was fulfilled: that is what somebody waits for who starts the demo."""
    first = True

    def announce(row: Row) -> None:
        nonlocal first
        changed(row)
        if first and row.status == "fulfilled":
            first = False
            screen.say(f"First order fulfilled {time.monotonic() - began:.1f} s after the start.", style="bold")

    return announce


async def _tell_story(stack: Stack, screen: Screen, rows: list[Row]) -> None:
    order_id = next(row.order_id for row in rows if row.sample.case == STORY)
    screen.say(f"\nThe story of {order_id}: when, on which queue, who, what", style="bold")
    client = await Client.connect(stack.urls["temporal"], namespace=NAMESPACE)
    for line in story.lines(story.steps(await story.fetch(client, order_id))):
        screen.say(line)
    screen.say("")


def conclude(screen: Screen, rows: list[Row], jobs: list[Job], found: Report, report: Path) -> int:
    """Say how it went.

    Returns:
        The exit code: 0 if all is as it should be, else 1.
    """
    wrong = [row for row in rows if not row.right]
    for row in wrong:
        screen.say(f"{row.order_id}: expected {row.sample.expected}, but {row.actual}", style="bold red")
    for violation in found.violations:
        screen.say(str(violation), style="bold red")
    failed = [job for job in jobs if not job.right]
    for job in failed:
        screen.say(f"{job.name}: expected {job.expected}, but {job.actual}", style="bold red")
    good = not wrong and not failed and not found.violations
    right = f"{len(rows) - len(wrong)} of {len(rows)} orders"
    if jobs:
        right += f" and {len(jobs) - len(failed)} of {len(jobs)} jobs"
    screen.say(
        f"{right} ended as they should; the audit checked {found.checked} orders and found"
        f" {len(found.violations) or 'no'} violation{'' if len(found.violations) == 1 else 's'}. Report: {report}",
        style="bold green" if good else "bold red",
    )
    return 0 if good else 1


def write_report(path: Path, rows: list[Row], jobs: list[Job], found: Report) -> None:
    """Write the result for a machine to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "orders": [row.as_json() for row in rows],
        "jobs": [job.as_json() for job in jobs],
        "audit": {"checked": found.checked, "violations": [str(violation) for violation in found.violations]},
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def _show_urls(stack: Stack, screen: Screen) -> None:
    names = {"temporal-ui": "Temporal UI", "temporal": "Temporal"}
    screen.say("")
    for name in ("temporal-ui", "temporal", "orchestrator", "inventory", "payments", "shipping", "sandbox"):
        screen.say(f"{names.get(name, name):<14}{stack.urls[name]}")
    screen.say(f"{'openapi':<14}{stack.urls['orchestrator']}/openapi.json")
    waybill = "waybill" if shutil.which("waybill") else ".venv/bin/waybill"
    screen.say(f"Try: {waybill} status | kill payments --for 20 | story ORDER_ID | audit | schedules list")


class _Ending:
    """Ctrl-C once: stop in order. Twice: at once."""

    def __init__(self, stack: Stack, screen: Screen) -> None:
        self.asked = False
        self._stack = stack
        self._screen = screen
        self._task = asyncio.current_task()

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._end)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _end(self) -> None:
        if self.asked:
            self._stack.hurry()
            return
        self.asked = True
        self._screen.say("\nStopping (Ctrl-C again: at once).")
        if self._task is not None:
            self._task.cancel()
