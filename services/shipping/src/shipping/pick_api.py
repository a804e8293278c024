"""Pick waves for operators: over HTTP, and the loop that starts their workflows.

A wave is stored first and started then, so that it is accepted while Temporal is away.
"""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, Field, SecretStr, StringConstraints
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import QueryRejectCondition, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from chassis.connection import Connection, TemporalUnavailable, is_away
from chassis.problems import Problem, operators_only, read_json
from shipping import picking
from shipping.board import WaveRequest
from shipping.contract import TASK_QUEUE
from shipping.picks import OPEN, Picks, Wave, WaveState

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
"""How often to look for waves that another replica accepted, or that could not be started."""

CALL_SECONDS = 5.0
"""Time-out of one call to Temporal."""

UPDATE_ATTEMPTS = 5
"""How often an update is tried that meets the end of a run."""

ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


class NewWave(BaseModel):
    """The body of ``POST /pick-waves``."""

    wave_id: Annotated[str, StringConstraints(pattern=f"^{ID}$")] | None = None
    """Made if it is not given. The same one again is the same wave."""
    warehouse: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    pickers: int = Field(ge=1, le=picking.MAX_PICKERS)


class Whom(BaseModel):
    """The body of a pause or resume."""

    picker: int | None = Field(default=None, ge=1, le=picking.MAX_PICKERS)
    """All, if it is not given."""


class PickDesk:
    """The handlers, and the loop."""

    def __init__(
        self,
        picks: Picks,
        connection: Connection,
        operator: SecretStr,
        lease_seconds: float,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """Put together.

        Args:
            picks: Waves and tasks.
            connection: To Temporal, which may be away.
            operator: Bearer token of operators.
            lease_seconds: How long a picker of a new wave may be silent.
            pause_seconds: Between two looks, if nobody wakes the loop.
        """
        self._picks = picks
        self._connection = connection
        self._operator = operator
        self._lease = lease_seconds
        self._pause = pause_seconds
        self._news = asyncio.Event()

    def routes(self) -> Sequence[web.RouteDef]:
        """The routes, all of them for operators only."""
        guarded = operators_only(self._operator)
        one = f"/pick-waves/{{wave_id:{ID}}}"
        return [
            web.post("/pick-waves", guarded(self.create)),
            web.get(one, guarded(self.show)),
            web.post(f"{one}/pause", guarded(self.pause)),
            web.post(f"{one}/resume", guarded(self.resume)),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """``POST /pick-waves``: pick all booked parcels of a warehouse that are in no wave yet.

        The same again answers the same, and starts a wave again whose workflow was terminated.
        """
        new = await read_json(request, NewWave)
        wave_id = new.wave_id or f"wave-{uuid.uuid4().hex[:16]}"
        wave = await self._picks.accept(wave_id, new.warehouse, new.pickers)
        if (wave.warehouse, wave.pickers) != (new.warehouse, new.pickers):
            raise Problem(409, "Conflict", f"{wave_id} is another wave.", field="wave_id")
        self._news.set()
        body = {"wave_id": wave_id, "warehouse": wave.warehouse, "pickers": wave.pickers}
        return web.json_response(body, status=202, headers={"Location": f"/pick-waves/{wave_id}"})

    async def show(self, request: web.Request) -> web.Response:
        """``GET /pick-waves/{id}``: asked of the coordinator while it runs, read from the table afterwards."""
        wave = await self._found(request)
        status = await self._ask(wave) if wave.state is WaveState.RUNNING else None
        if status is not None:
            return web.json_response(_shown(wave, _state_of(status), status))
        if wave.state is WaveState.RUNNING:
            # The coordinator ended, in most cases just now and with its wave: what it wrote last counts.
            wave = await self._found(request)
        return web.json_response(_shown(wave, "stopped" if wave.state is WaveState.RUNNING else wave.state, None))

    async def pause(self, request: web.Request) -> web.Response:
        """``POST /pick-waves/{id}/pause``: one picker or all finish what they pick, and wait."""
        return await self._update(request, picking.PAUSE)

    async def resume(self, request: web.Request) -> web.Response:
        """``POST /pick-waves/{id}/resume``: one picker or all go on."""
        return await self._update(request, picking.RESUME)

    async def _found(self, request: web.Request) -> Wave:
        wave = await self._picks.wave(request.match_info["wave_id"])
        if wave is None:
            raise Problem(404, "Not Found", f"There is no wave {request.match_info['wave_id']}.")
        return wave

    def _handle(self, wave_id: str) -> WorkflowHandle[Any, Any]:
        try:
            return self._connection.client.get_workflow_handle(picking.wave_workflow_id(wave_id))
        except TemporalUnavailable as error:
            raise _away() from error

    async def _ask(self, wave: Wave) -> picking.WaveStatus | None:
        """The coordinator's word, or None if its workflow has ended."""
        try:
            status: picking.WaveStatus = await self._handle(wave.wave_id).query(
                picking.STATUS,
                result_type=picking.WaveStatus,
                reject_condition=QueryRejectCondition.NOT_OPEN,
                rpc_timeout=timedelta(seconds=CALL_SECONDS),
            )
        except WorkflowQueryRejectedError:
            return None
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise _away() if is_away(error) else error from error
        return status

    async def _update(self, request: web.Request, name: str) -> web.Response:
        whom = await read_json(request, Whom)
        wave = await self._found(request)
        if whom.picker is not None and whom.picker > wave.pickers:
            raise Problem(422, "Invalid Request", f"The wave has {wave.pickers} pickers.", field="picker")
        if wave.state not in OPEN:
            raise _over(wave)
        try:
            status = await self._insist(wave.wave_id, name, picking.Choice(whom.picker))
        except WorkflowUpdateFailedError as error:
            raise Problem(409, "Conflict", str(error.cause)) from error
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise _away() from error
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise _over(await self._found(request)) from error
            raise _away() if is_away(error) else error from error
        return web.json_response(_shown(wave, _state_of(status), status))

    async def _insist(self, wave_id: str, name: str, choice: picking.Choice) -> picking.WaveStatus:
        """Update a wave. One that comes just as a run continues as new is refused without effect, and repeated.

        Raises:
            RPCError: If there is no such wave, or Temporal does not answer.
            WorkflowUpdateFailedError: If the wave refuses.
        """
        for attempt in range(UPDATE_ATTEMPTS):
            try:
                status: picking.WaveStatus = await self._handle(wave_id).execute_update(
                    name, choice, result_type=picking.WaveStatus, rpc_timeout=timedelta(seconds=CALL_SECONDS)
                )
            except RPCError as error:
                if error.status is not RPCStatusCode.FAILED_PRECONDITION or attempt == UPDATE_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.1 * (attempt + 1))
            else:
                return status
        raise AssertionError("unreachable")

    async def run(self, connection: Connection) -> None:
        """Start the workflows of accepted waves, for ever."""
        while True:
            self._news.clear()
            try:
                for wave in await self._picks.to_start():
                    await self._start(connection, wave)
            except (SQLAlchemyError, TemporalUnavailable, RPCError) as error:
                logger.warning("waves wait to be started: %s", (str(error).splitlines() or [""])[0])
            try:
                async with asyncio.timeout(self._pause):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _start(self, connection: Connection, wave: Wave) -> None:
        """Start a wave, or note that it runs already.

        Raises:
            TemporalUnavailable: While there is no connection.
            RPCError: If Temporal went away.
        """
        client, request = connection.client, WaveRequest(wave.wave_id, wave.warehouse, wave.pickers, self._lease)
        try:
            await self._start_workflow(client, request)
        except RPCError as error:
            if is_away(error):
                raise
            # It is tried again; the other waves need not wait for it.
            logger.exception("%s cannot be started", wave.wave_id)
            return
        await self._picks.started(wave.wave_id)

    @staticmethod
    async def _start_workflow(client: Client, request: WaveRequest) -> None:
        await client.start_workflow(
            picking.WAVE,
            request,
            id=picking.wave_workflow_id(request.wave_id),
            task_queue=TASK_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            rpc_timeout=timedelta(seconds=CALL_SECONDS),
        )


def _away() -> Problem:
    return Problem(503, "Service Unavailable", "Temporal does not answer. Try again.")


def _over(wave: Wave) -> Problem:
    """There is no coordinator that could be told."""
    return Problem(
        409, "Conflict", "The wave is not under way." if wave.state in OPEN else f"The wave is {wave.state}."
    )


def _state_of(status: picking.WaveStatus) -> str:
    return "paused" if status.paused else "running"


def _shown(wave: Wave, state: str, status: picking.WaveStatus | None) -> dict[str, Any]:
    return {
        "wave_id": wave.wave_id,
        "warehouse": wave.warehouse,
        "pickers": wave.pickers,
        "status": state,
        "progress": None if status is None else asdict(status.progress),
        "hands": [] if status is None else [asdict(picker) for picker in status.pickers],
        "result": wave.result,
    }
