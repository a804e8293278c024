"""The operators' HTTP surface for stocktakes."""

import logging
import re
import uuid
from collections.abc import Sequence
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from temporalio.service import RPCError, RPCStatusCode

from chassis.connection import Connection, TemporalUnavailable, is_away
from chassis.problems import Problem, operators_only, read_json
from inventory import jobs
from inventory.api import Name
from inventory.counting import CountingStore, Sheet
from inventory.intake import Intake, Job, Kind, cancel
from inventory.jobs import Counting, Round, RoundResult
from inventory.parsing import MAX_ON_HAND
from inventory.rounds import RoundStore
from inventory.settings import Settings

logger = logging.getLogger(__name__)

ROUND_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
MAX_WAREHOUSES = 100
"""Most warehouses of one round that are named."""
MAX_COUNTS = 2_000
"""Most counts of one request."""
LONGEST_COUNT = 7 * 24 * 3600
"""Most seconds that a counting may take."""


def _counting(value: object) -> object:
    return Counting(value) if isinstance(value, str) and value in set(Counting) else value


class RoundBody(BaseModel):
    """Body of ``POST /stocktakes``."""

    model_config = ConfigDict(extra="forbid")

    round_id: Annotated[str, StringConstraints(pattern=ROUND_ID)] | None = None
    warehouses: list[Name] = Field(default=[], max_length=MAX_WAREHOUSES)
    counting: Annotated[Counting, BeforeValidator(_counting)] = Counting.SHEET
    deadline_seconds: int | None = Field(default=None, ge=1, le=LONGEST_COUNT)


class CountBody(BaseModel):
    """What was counted of one SKU."""

    model_config = ConfigDict(extra="forbid")

    sku: Name
    quantity: int = Field(ge=0, le=MAX_ON_HAND)


class SheetBody(BaseModel):
    """Body of ``POST /stocktakes/{warehouse}/counts``."""

    model_config = ConfigDict(extra="forbid")

    counts: list[CountBody] = Field(max_length=MAX_COUNTS)
    complete: bool = False


class StocktakesApi:
    """The handlers."""

    def __init__(self, rounds: RoundStore, counting: CountingStore, connection: Connection, settings: Settings) -> None:
        """Take what they work with."""
        self._rounds = rounds
        self._counting = counting
        self._connection = connection
        self._settings = settings
        self.kind = Kind(rounds.unstarted, rounds.mark_started, self._job)
        self._intake = Intake(connection, settings)

    def routes(self) -> Sequence[web.RouteDef]:
        """The routes, for the chassis."""
        guard = operators_only(self._settings.operator_token)
        return [
            web.post("/stocktakes", guard(self.post)),
            web.get("/stocktakes/{round_id}", guard(self.get)),
            web.post("/stocktakes/{round_id}/cancel", guard(self.cancel)),
            web.post("/stocktakes/{warehouse}/counts", guard(self.count)),
        ]

    async def post(self, request: web.Request) -> web.Response:
        """``POST /stocktakes``: begin a round."""
        body = await read_json(request, RoundBody)
        if len(set(body.warehouses)) != len(body.warehouses):
            raise Problem(422, "Invalid Request", "warehouses: one is named twice.", field="warehouses")
        unknown = sorted(set(body.warehouses) - set(await self._rounds.warehouses())) if body.warehouses else []
        if unknown:
            raise Problem(422, "Unknown Warehouse", f"warehouses: {unknown[0]} has no shelves.", field="warehouses")
        job = Round(
            body.round_id or uuid.uuid4().hex,
            tuple(body.warehouses),
            body.counting,
            body.deadline_seconds or self._settings.stocktake_deadline_seconds,
            self._settings.stocktake_lease_seconds,
        )
        row = await self._rounds.accept(job)
        if not _same(job, await self._rounds.request(job.round_id), body):
            raise Problem(409, "Conflict", f"{job.round_id} is another round.", field="round_id")
        if row["started_at"] is None:
            await self._intake.start(self.kind, job.round_id)
        headers = {"Location": f"/stocktakes/{job.round_id}"}
        return web.json_response({"round_id": job.round_id}, status=202, headers=headers)

    async def _job(self, round_id: str) -> Job:
        return Job(jobs.STOCKTAKE_ROUND, jobs.round_workflow_id(round_id), await self._rounds.request(round_id))

    async def get(self, request: web.Request) -> web.Response:
        """``GET /stocktakes/{round_id}``: what it counts itself, how far it is, and what came of it."""
        document = await self._rounds.document(_round_id(request))
        if document is None:
            raise _unknown(request)
        return web.json_response(document)

    async def cancel(self, request: web.Request) -> web.Response:
        """``POST /stocktakes/{round_id}/cancel``: open the warehouses again, correct nothing."""
        round_id = _round_id(request)
        if await self._rounds.document(round_id) is None:
            raise _unknown(request)
        if not await self._rounds.withdraw(round_id):
            try:
                running = await cancel(self._connection, jobs.round_workflow_id(round_id))
            except TemporalUnavailable as error:
                raise _away() from error
            if not running:
                # It ended, which this does not change; or somebody terminated it.
                await self._rounds.finish(RoundResult(round_id, ()), "cancelled")
        return web.json_response(await self._rounds.document(round_id), status=202)

    async def count(self, request: web.Request) -> web.Response:
        """``POST /stocktakes/{warehouse}/counts``: write on the sheet. What is written stands, Temporal or not."""
        warehouse = request.match_info["warehouse"]
        body = await read_json(request, SheetBody)
        counts = {count.sku: count.quantity for count in body.counts}
        if len(counts) != len(body.counts):
            raise Problem(422, "Invalid Request", "counts: a SKU stands there twice.", field="counts")
        if len(warehouse) > jobs.MAX_WAREHOUSE or not warehouse.isprintable():
            raise Problem(409, "Not Counted", "This warehouse is not being counted.", field="warehouse")
        outcome, said = await self._counting.write(warehouse, counts, complete=body.complete)
        match outcome:
            case Sheet.UNKNOWN_SKU:
                raise Problem(422, "Unknown SKU", f"counts: the catalogue does not have {said}.", field="counts")
            case Sheet.NOT_COUNTED:
                raise Problem(409, "Not Counted", f"{warehouse} is not being counted.", field="warehouse")
        if body.complete:
            await self._tell(warehouse)
        return web.json_response({"stocktake": said, "counts": len(counts), "complete": body.complete})

    async def _tell(self, warehouse: str) -> None:
        """Spare the stocktake waiting for its next look at the sheet, if Temporal is there."""
        try:
            handle = self._connection.client.get_workflow_handle(jobs.stocktake_workflow_id(warehouse))
            await handle.signal(jobs.SHEET_COMPLETE)
        except TemporalUnavailable:
            logger.info("the stocktake of %s will see for itself that its sheet is complete", warehouse)
        except RPCError as error:
            if not is_away(error) and error.status != RPCStatusCode.NOT_FOUND:
                raise
            logger.info("the stocktake of %s was not told that its sheet is complete: %s", warehouse, error)


def _same(job: Round, earlier: Round, body: RoundBody) -> bool:
    """Whether a request asks for what was asked for earlier. What it leaves to the settings may have changed."""
    asked = (job.warehouses, job.counting, body.deadline_seconds or earlier.deadline_seconds)
    return asked == (earlier.warehouses, earlier.counting, earlier.deadline_seconds)


def _round_id(request: web.Request) -> str:
    if re.fullmatch(ROUND_ID, request.match_info["round_id"]) is None:
        raise _unknown(request)
    return request.match_info["round_id"]


def _unknown(request: web.Request) -> Problem:
    return Problem(404, "Not Found", f"There is no round {request.match_info['round_id'][:64]}.")


def _away() -> Problem:
    return Problem(503, "Service Unavailable", "Temporal does not answer. Try again.")
