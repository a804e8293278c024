"""The operators' HTTP surface for files of orders."""

import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from aiohttp import ClientPayloadError, web
from sqlalchemy import RowMapping

from chassis.connection import Connection
from chassis.paging import page, page_args
from chassis.problems import Problem, operators_only
from orchestrator.asking import ask, unknown
from orchestrator.import_contract import MAX_WINDOW, ImportState, import_id_of
from orchestrator.import_intake import ImportIntake
from orchestrator.import_reading import Form, OrderFile
from orchestrator.import_store import ImportStore
from orchestrator.import_views import ImportViews
from orchestrator.models import ORDER_ID_PATTERN
from orchestrator.settings import Settings
from orchestrator.uploads import UploadStore

ID_NAMESPACE = uuid.UUID("0f7b6f0a-64f5-4a60-9f44-0b1f6d0ce2a1")
"""Under which a file becomes an import's id. Never change it: the same file again must find its import."""
BATCH = 500
"""Rows that are staged in one transaction."""
READ = 64 * 1024
"""Bytes that are read at once."""


class ImportsApi:
    """The handlers."""

    def __init__(
        self,
        *,
        store: ImportStore,
        uploads: UploadStore,
        views: ImportViews,
        intake: ImportIntake,
        connection: Connection,
        settings: Settings,
    ) -> None:
        """Take what they work with."""
        self._store = store
        self._uploads = uploads
        self._views = views
        self._intake = intake
        self._connection = connection
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """The routes, for the chassis."""
        guard = operators_only(self._settings.operator_token)
        return [
            web.post("/imports", guard(self.post)),
            web.get("/imports/{import_id}", guard(self.get)),
            web.get("/imports/{import_id}/rejections", guard(self.rejections)),
            *(
                web.post(f"/imports/{{import_id}}/{update}", guard(self._steer(update)))
                for update in ("pause", "resume", "cancel")
            ),
        ]

    async def post(self, request: web.Request) -> web.Response:
        """``POST /imports``: stage the rows as they come, make them an import, start it if Temporal is there."""
        key, window = _key(request), self._window(request)
        if request.content_type not in list(Form):
            raise Problem(415, "Unsupported Media Type", f"The body is one of {', '.join(Form)}.")
        file = OrderFile(Form(request.content_type), self._settings)
        upload_id = await self._uploads.begin_upload()
        try:
            await self._stage(file, request, upload_id)
        except BaseException as error:
            # Half a file is no import. What a killed process leaves is swept up by the intake.
            await self._uploads.discard(upload_id)
            if isinstance(error, (ClientPayloadError, ConnectionError)):
                raise Problem(400, "Broken Upload", "The body broke off: nothing of it is kept.") from error
            raise
        import_id = key or str(uuid.uuid5(ID_NAMESPACE, file.digest))
        row, _ = await self._uploads.accept(import_id, upload_id, file.digest, window)
        if row["digest"] != file.digest:
            raise Problem(409, "Conflict", "Another file was imported under this key.", field="Idempotency-Key")
        if row["started_at"] is None and row["ended_at"] is None:
            await self._intake.start(row)
        return web.json_response(
            {"import_id": import_id, "rows": row["rows"]}, status=202, headers={"Location": f"/imports/{import_id}"}
        )

    async def _stage(self, file: OrderFile, request: web.Request, upload_id: uuid.UUID) -> None:
        batch: list[dict[str, Any]] = []
        async for row in file.rows(request.content.iter_chunked(READ)):
            order_id = None if row.request is None else row.request["order_id"]
            batch.append({**asdict(row), "order_id": order_id})
            if len(batch) == BATCH:
                await self._uploads.stage(upload_id, batch)
                batch = []
        if batch:
            await self._uploads.stage(upload_id, batch)

    async def get(self, request: web.Request) -> web.Response:
        """``GET /imports/{import_id}``."""
        return web.json_response(await self._views.document(await self._row(request)))

    async def rejections(self, request: web.Request) -> web.Response:
        """``GET /imports/{import_id}/rejections``."""
        row = await self._row(request)
        after, limit = page_args(request)
        if after and not (after.isascii() and after.isdigit() and len(after) < 19):
            raise Problem(400, "Invalid Page", "after is not a line.", field="after")
        return page(await self._views.rejections(row["import_id"], int(after or 0), limit), limit, "line")

    def _steer(self, update: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            row = await self._row(request)
            if row["started_at"] is None and not await self._intake.start(row):
                raise unknown("import")
            state = await ask(
                self._connection,
                import_id_of(row["import_id"]),
                update,
                [],
                ImportState,
                patience=self._intake.patience,
                what="import",
                row=partial(self._row, request),
            )
            return web.json_response({"import_id": state.import_id, "status": state.status})

        return handler

    async def _row(self, request: web.Request) -> RowMapping:
        import_id = request.match_info["import_id"]
        row = await self._store.get(import_id) if import_id.isprintable() else None
        if row is None:
            raise Problem(404, "Not Found", "There is no such import.")
        return row

    def _window(self, request: web.Request) -> int:
        text = request.query.get("window", str(self._settings.import_window))
        if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_WINDOW):
            raise Problem(400, "Invalid Window", f"window is a whole number from 1 to {MAX_WINDOW}.", field="window")
        return int(text)


def _key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and re.fullmatch(ORDER_ID_PATTERN, key) is None:
        raise Problem(
            400,
            "Invalid Key",
            "Idempotency-Key is 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit.",
            field="Idempotency-Key",
        )
    return key
