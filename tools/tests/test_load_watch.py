"""A deployment is looked at from afar: two replicas answer in turns behind one address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from chassis.testing.ports import free_ports
from waybill.load.orders import Clock
from waybill.load.targets import Remote
from waybill.load.watch import Watcher


class Replicas:
    """Two old processes behind one address, one of which has done much more than the other."""

    def __init__(self) -> None:
        self.asked = 0

    async def metrics(self, _: web.Request) -> web.Response:
        place, turn = self.asked % 2, self.asked // 2
        self.asked += 1
        writes, seconds, born = ((1_000_000, 9_000.0, 10), (10, 5.0, 20))[place]
        return web.Response(
            text=f"""\
db_client_operation_duration_seconds_count{{db_operation_name="INSERT"}} {writes + 3 * turn}
process_cpu_seconds_total {seconds + turn / 2}
process_resident_memory_bytes 1e8
process_start_time_seconds {born}
"""
        )

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Watcher]:
        app = web.Application()
        app.add_routes([web.get("/metrics", self.metrics)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        [port] = free_ports(1)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            async with aiohttp.ClientSession() as session:
                target = Remote({"shipping": f"http://127.0.0.1:{port}"}, "token", None)
                yield Watcher(target, session, None, Clock().now)
        finally:
            await runner.cleanup()


async def test_replicas_that_answer_in_turns_do_not_count_what_they_did_before_or_twice() -> None:
    replicas = Replicas()
    async with replicas.watched() as watcher:
        begin = await watcher.mark()
        for _ in range(20):
            await watcher.sample()
        end = await watcher.mark()

    def grown(name: str) -> float:
        return end.values[name] - begin.values[name]

    # Each was asked eleven times at most; an answer that is late stands in no sample.
    assert 0 < grown("db_writes/shipping") <= 2 * 10 * 3
    assert 0 < grown("cpu_seconds/shipping") <= 2 * 10 / 2
    seen = [sample.values["db_writes/shipping"] for sample in watcher.samples]
    assert seen == sorted(seen)
