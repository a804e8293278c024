"""The command that places sample orders on a deployment that is there already."""

import time
from typing import Annotated

import aiohttp
import aiohttp.web
import typer

from waybill.cli.common import VIOLATED, Directory, Token, Url, deployment, fail, run, screen
from waybill.demo.day import Day, Row
from waybill.demo.flow import Flow
from waybill.demo.shop import Shop
from waybill.serving import served
from waybill.stack import plan, state

app = typer.Typer()


@app.command()
def samples(
    *,
    every: Annotated[
        float | None, typer.Option(min=0.1, help="One order every so many seconds, again and again, until SIGTERM.")
    ] = None,
    stock: Annotated[bool, typer.Option("--stock", help="Only put catalogue and goods where they belong.")] = False,
    name: Annotated[
        str, typer.Option("--run", help="What the ids of orders and goods begin with. The same goods come in once.")
    ] = "",
    health_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="With --every: /livez says whether orders end well.")
    ] = None,
    url: Url = None,
    token: Token = "",
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Place an order of each kind, and tell how each ended. Exits with 1 if one did not end as it should.

    The deployment is named by --url, or is the running stack.
    """
    if health_port is not None and every is None:
        fail("--health-port is of use with --every only")
    if every is not None and (stock or name):
        fail("--every names its runs itself, and stocks up for each")
    if name and not (name.isascii() and name.isalnum()):
        fail(f"--run: {name!r} is not of letters and digits only; the ids of orders and accounts begin with it")
    of = deployment(url, token, directory, plan.SERVICES)
    named = name or time.strftime("%m%dT%H%M%S")

    async def work() -> list[Row]:
        async with aiohttp.ClientSession() as session:
            shop = Shop(session, of.urls, of.token)
            if every is not None:
                flow = Flow(shop, every, screen.say)
                address = None if health_port is None else ("127.0.0.1", health_port)
                async with served(address, [aiohttp.web.get("/livez", flow.livez)]):
                    await flow.run()
                return []
            await shop.stock_up(named)
            if stock:
                return []
            day = Day(shop, named, _tell)
            await day.run()
            return day.rows

    rows = run(work())
    if any(not row.right for row in rows):
        raise typer.Exit(VIOLATED)


def _tell(row: Row) -> None:
    if row.ended is not None:
        screen.say(row.ended, style="" if row.right else "bold red")
