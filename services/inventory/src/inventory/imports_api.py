"""The operators' HTTP surface for suppliers' lists."""

import re
import uuid
from collections.abc import Sequence

from aiohttp import web
from sqlalchemy import RowMapping

from chassis.connection import Connection, TemporalUnavailable
from chassis.paging import page, page_args
from chassis.problems import Problem, operators_only
from inventory import jobs
from inventory.imports import ImportStore
from inventory.intake import Intake, Job, Kind, cancel
from inventory.jobs import Portions
from inventory.parsing import NotAListError
from inventory.settings import Settings
from inventory.staging import Staged, Staging

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Ids of imports, which a caller may choose by ``Idempotency-Key``."""
CSV = "text/csv"
JSON_LINES = "application/x-ndjson"
ID_NAMESPACE = uuid.UUID("0b0f9a0e-6d0a-4c7e-9b53-5f6f6b1c2a77")
"""Under which a list's digest becomes an import's id. Never change it: a repeat must find its import."""


class ImportsApi:
    """The handlers."""

    def __init__(self, store: ImportStore, staging: Staging, connection: Connection, settings: Settings) -> None:
        """Take what they work with."""
        self._store = store
        self._staging = staging
        self._connection = connection
        self._settings = settings
        self.kind = Kind(store.unstarted, store.mark_started, self._job)
        self._intake = Intake(connection, settings)

    def routes(self) -> Sequence[web.RouteDef]:
        """The routes, for the chassis."""
        guard = operators_only(self._settings.operator_token)
        return [
            web.post("/imports", guard(self.post)),
            web.get("/imports/{import_id}", guard(self.get)),
            web.get("/imports/{import_id}/rejections", guard(self.rejections)),
            web.post("/imports/{import_id}/cancel", guard(self.cancel)),
        ]

    async def post(self, request: web.Request) -> web.Response:
        """``POST /imports``: take a list, start its import."""
        if request.content_type not in (CSV, JSON_LINES):
            raise Problem(415, "Unsupported Media Type", f"The body must be {CSV} or {JSON_LINES}.")
        key = request.headers.get("Idempotency-Key")
        if key is not None and KEY.fullmatch(key) is None:
            detail = "Idempotency-Key is 1 to 64 letters, digits, dots, dashes or underscores."
            raise Problem(400, "Invalid Key", detail, field="Idempotency-Key")
        try:
            staged = await self._staging.stage(request.content.iter_any(), is_csv=request.content_type == CSV)
        except NotAListError as error:
            raise Problem(422, "Invalid List", str(error)) from error
        except (ConnectionError, web.RequestPayloadError) as error:
            raise Problem(400, "Broken Upload", "The list did not arrive whole. Nothing of it was taken.") from error
        row = await self._accept(key or str(uuid.uuid5(ID_NAMESPACE, staged.digest)), staged)
        import_id: str = row["import_id"]
        if row["started_at"] is None:
            await self._intake.start(self.kind, import_id)
        headers = {"Location": f"/imports/{import_id}"}
        return web.json_response({"import_id": import_id, "rows": row["rows"]}, status=202, headers=headers)

    async def _accept(self, import_id: str, staged: Staged) -> RowMapping:
        row = await self._store.accept(import_id, staged)
        if row["upload"] != staged.upload:
            await self._staging.discard(staged.upload)
        if row["digest"] != staged.digest:
            raise Problem(409, "Conflict", "Another list was imported under this key.", field="Idempotency-Key")
        return row

    async def _job(self, import_id: str) -> Job:
        portions = Portions(
            self._settings.import_partition_rows, self._settings.import_chunk_rows, self._settings.import_concurrency
        )
        argument = jobs.CatalogueImport(import_id, portions)
        return Job(jobs.IMPORT_CATALOGUE, jobs.import_id_of(import_id), argument)

    async def get(self, request: web.Request) -> web.Response:
        """``GET /imports/{import_id}``: how far it is, and what came of it."""
        document = await self._store.document(_import_id(request))
        if document is None:
            raise _unknown(request)
        return web.json_response(document)

    async def rejections(self, request: web.Request) -> web.Response:
        """``GET /imports/{import_id}/rejections``: the lines that were not applied, and why."""
        import_id = _import_id(request)
        after, limit = page_args(request)
        if not re.fullmatch(r"[0-9]{0,9}", after):
            raise Problem(400, "Invalid Page", "after is not the number of a line.", field="after")
        if await self._store.find(import_id) is None:
            raise _unknown(request)
        return page(await self._store.rejections(import_id, int(after or 0), limit), limit, "line")

    async def cancel(self, request: web.Request) -> web.Response:
        """``POST /imports/{import_id}/cancel``: no further lines. Those that are applied stay applied."""
        import_id = _import_id(request)
        row = await self._store.find(import_id)
        if row is None:
            raise _unknown(request)
        if row["finished_at"] is None:
            upload = await self._store.withdraw(import_id)
            await (self._cancel(import_id) if upload is None else self._staging.discard(upload))
        return web.json_response(await self._store.document(import_id), status=202)

    async def _cancel(self, import_id: str) -> None:
        try:
            running = await cancel(self._connection, jobs.import_id_of(import_id))
        except TemporalUnavailable as error:
            raise _away() from error
        if not running:
            # It ended between the look at its row and now, which this does not change; or somebody terminated it.
            await self._store.finish(import_id, "cancelled")


def _import_id(request: web.Request) -> str:
    if KEY.fullmatch(request.match_info["import_id"]) is None:
        raise _unknown(request)
    return request.match_info["import_id"]


def _unknown(request: web.Request) -> Problem:
    return Problem(404, "Not Found", f"There is no import {request.match_info['import_id'][:64]}.")


def _away() -> Problem:
    return Problem(503, "Service Unavailable", "Temporal does not answer. Try again.")
