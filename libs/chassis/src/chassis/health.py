"""Whether the process lives, and whether it is ready for work."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from chassis.problems import Handler, Problem

logger = logging.getLogger(__name__)

HEALTH: web.AppKey["Health"] = web.AppKey("health")
OK = "ok"
UNGUARDED = frozenset({"/livez", "/readyz", "/metrics"})

Check = Callable[[], Awaitable[None]]


@dataclass
class Health:
    """What is known of the process.

    Attributes:
        checks: Asked anew for each answer; one that raises is not well.
        providers: Asked and told likewise, but readiness does not hang on them: work that needs one waits and is
            tried again, and taking all replicas out of service would help nobody.
        storing: The database is there and its schema up to date.
        polling: The worker polls its task queue.
        draining: The process was told to stop.
    """

    checks: dict[str, Check] = field(default_factory=dict)
    providers: dict[str, Check] = field(default_factory=dict)
    storing: bool = False
    polling: bool = False
    draining: bool = False

    async def report(self) -> dict[str, str]:
        """One word or one line of explanation for each thing that readiness depends on; ``ok`` if it is well."""
        report = await _ask_all(self.checks)
        if not self.storing and report.get("database") == OK:
            report["database"] = "schema not up to date yet"
        report["worker"] = OK if self.polling else "not polling yet"
        report["process"] = "draining" if self.draining else OK
        return report

    async def provider_report(self) -> dict[str, str]:
        """The same for each provider."""
        return await _ask_all(self.providers)


async def _ask_all(checks: dict[str, Check]) -> dict[str, str]:
    results = await asyncio.gather(*(_ask(check) for check in checks.values()))
    return dict(zip(checks, results, strict=True))


async def _ask(check: Check) -> str:
    try:
        await check()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the reader wants to know
        return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
    return OK


async def livez(_: web.Request) -> web.Response:
    """``GET /livez``: the event loop runs."""
    return web.json_response({"status": OK})


async def readyz(request: web.Request) -> web.Response:
    """``GET /readyz``: 200 if all is well, else 503; says which part is not."""
    health = request.app[HEALTH]
    report, providers = await asyncio.gather(health.report(), health.provider_report())
    ready = all(said == OK for said in report.values())
    document = {"ready": ready, "checks": report, "providers": providers}
    return web.json_response(document, status=200 if ready else 503)


@web.middleware
async def storing_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 503 while there is no database to work with, rather than 500 for each query."""
    if request.path not in UNGUARDED and not request.app[HEALTH].storing:
        raise Problem(503, "Service Unavailable", "The service is starting: its database is not ready.")
    return await handler(request)
