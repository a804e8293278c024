"""Faults of a whole provider, switched at run time: latency, errors, outage."""

import random

from aiohttp import web
from pydantic import Field

from chassis.problems import Handler, Problem, read_json
from sandbox.carriers import CARRIERS
from sandbox.state import State
from sandbox.wire import Body, Pauses

PROVIDERS = ("gateway", *CARRIERS, "mailbox")
MAX_LATENCY_SECONDS = 600


class Fault(Body):
    """What is wrong with one provider; nothing by default."""

    latency_seconds: float = Field(default=0, ge=0, le=MAX_LATENCY_SECONDS, allow_inf_nan=False)
    """How much later each request is handled."""
    error_rate: float = Field(default=0, ge=0, le=1, allow_inf_nan=False)
    """Part of the requests that get a 500; half of these after they took effect."""
    outage: bool = False
    """Every request gets a 503, without effect."""


class FaultsBody(Body):
    """Faults to replace: those of the providers that are named."""

    gateway: Fault = Fault()
    swift: Fault = Fault()
    steady: Fault = Fault()
    budget: Fault = Fault()
    mailbox: Fault = Fault()


class Faults:
    """The faults, kept like everything else until they are changed."""

    def __init__(self, state: State, pauses: Pauses, chance: random.Random) -> None:
        """The faults in a database.

        Args:
            state: The database.
            pauses: How latency waits.
            chance: Which requests fail.
        """
        self._state = state
        self._pauses = pauses
        self._chance = chance
        with state.transaction() as transaction:
            rows = transaction.execute("SELECT provider, settings FROM faults").fetchall()
        self._faults = dict.fromkeys(PROVIDERS, Fault()) | {
            row["provider"]: Fault.model_validate_json(row["settings"]) for row in rows
        }

    def routes(self) -> list[web.RouteDef]:
        """``/faults``."""
        return [web.get("/faults", self._get), web.put("/faults", self._put)]

    def replace(self, faults: FaultsBody) -> None:
        """Replace the faults of the providers that are named, whole; leave the others as they are."""
        named = {provider: getattr(faults, provider) for provider in faults.model_fields_set}
        with self._state.transaction() as transaction:
            transaction.executemany(
                "INSERT INTO faults VALUES (?, ?) ON CONFLICT (provider) DO UPDATE SET settings = excluded.settings",
                [(provider, fault.model_dump_json()) for provider, fault in named.items()],
            )
        self._faults |= named

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Apply a provider's faults to a request that is for it."""
        provider = _provider(request)
        if provider is None:
            return await handler(request)
        fault = self._faults[provider]
        if fault.outage:
            raise Problem(503, "Service Unavailable", f"{provider} is down.", error="down")
        if fault.latency_seconds:
            # All of it, first: a request whose sender gave up meanwhile comes late, and is not lost.
            await request.read()
            await self._pauses.pause(fault.latency_seconds)
        if self._chance.random() >= fault.error_rate:
            return await handler(request)
        if self._chance.random() < 1 / 2:
            await handler(request)  # and its answer is lost: the caller cannot know that it took effect
        raise Problem(500, "Internal Server Error", f"{provider} failed.", error="fault")

    async def _get(self, _: web.Request) -> web.Response:
        return self._response()

    async def _put(self, request: web.Request) -> web.Response:
        self.replace(await read_json(request, FaultsBody))
        return self._response()

    def _response(self) -> web.Response:
        return web.json_response({provider: fault.model_dump() for provider, fault in self._faults.items()})


def _provider(request: web.Request) -> str | None:
    """Whose request it is, if any provider's."""
    parts = request.path.split("/")
    name = parts[2] if parts[1] == "carriers" and len(parts) > 2 else parts[1]
    return name if name in PROVIDERS else None
