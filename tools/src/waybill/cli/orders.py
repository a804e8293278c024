"""Commands that ask what became of orders."""

import json
from datetime import timedelta
from typing import Annotated

import aiohttp
import typer
from temporalio.client import Client

from waybill import story as stories
from waybill.audit.reading import Reader
from waybill.audit.repeating import repeat
from waybill.audit.rules import STUCK_AFTER
from waybill.audit.run import Report
from waybill.audit.run import audit as run_audit
from waybill.cli.common import VIOLATED, Directory, Token, Url, complain, deployment, fail, find, run, screen
from waybill.stack import plan, state

app = typer.Typer()


@app.command()
def audit(
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until no order is under way.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="With --wait: for so many seconds at most.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    stuck_after: Annotated[
        float, typer.Option(min=1, help="Seconds after which an order that does not move is a violation.")
    ] = STUCK_AFTER.total_seconds(),
    every: Annotated[
        float | None,
        typer.Option(min=0.1, help="Audit so many seconds after the last one again, until SIGTERM."),
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="With --every: serve what was found on /metrics.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="With --metrics-port: address to bind.")] = "127.0.0.1",
    url: Url = None,
    token: Token = "",
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Ask every service for its books, and check that they fit together. Exits with 1 if they do not.

    With --every it exits with 0 when it is told to stop, whatever it found.
    """
    if metrics_port is not None and every is None:
        fail("--metrics-port is of use with --every only")
    of = deployment(url, token, directory)

    async def work() -> Report | None:
        async with aiohttp.ClientSession() as session:
            reader = Reader(session, of.urls, of.token)

            async def ask() -> Report:
                return await run_audit(
                    reader, wait_seconds=timeout if wait else None, stuck_after=timedelta(seconds=stuck_after)
                )

            if every is None:
                return await ask()
            address = None if metrics_port is None else (metrics_host, metrics_port)
            await repeat(ask, every_seconds=every, tell=tell, complain=complain, address=address)
            return None

    def tell(report: Report) -> None:
        if as_json:
            screen.say(json.dumps(report.as_json(), indent=2))
            return
        for violation in report.violations:
            screen.say(str(violation))
        under_way = f", {report.in_flight} of them under way" if report.in_flight else ""
        screen.say(f"checked {report.checked} orders{under_way}: {len(report.violations) or 'no'} violations")

    report = run(work())
    if report is not None:
        tell(report)
        raise typer.Exit(VIOLATED if report.violations else 0)


@app.command()
def story(
    order_id: Annotated[str, typer.Argument(help="Of the order.")],
    address: Annotated[
        str, typer.Option(envvar="TEMPORAL_ADDRESS", help="Of Temporal, where it is no stack of ours.")
    ] = "",
    namespace: Annotated[str, typer.Option(envvar="TEMPORAL_NAMESPACE", help="In Temporal.")] = plan.NAMESPACE,
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Tell the story of one order: what was done when, on which queue, by whom."""
    target = address or find(directory).urls["temporal"]

    async def tell() -> list[stories.Step]:
        try:
            client = await Client.connect(target, namespace=namespace)
        except RuntimeError:
            raise stories.NoStory(f"Temporal does not answer at {target}") from None
        return stories.steps(await stories.fetch(client, order_id))

    for line in stories.lines(run(tell())):
        screen.say(line)
