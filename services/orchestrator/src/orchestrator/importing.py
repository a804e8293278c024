"""All that imports of orders are made of, put together."""

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.connection import Connection
from orchestrator.import_activities import ImportActivities
from orchestrator.import_intake import ImportIntake
from orchestrator.import_store import ImportStore
from orchestrator.import_views import ImportViews
from orchestrator.imports_api import ImportsApi
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.settings import Settings
from orchestrator.uploads import UploadStore


class Importing:
    """Of one service.

    Attributes:
        store: Of imports.
        views: Of the same.
        intake: Its loop runs in the background.
        activities: For the worker.
    """

    def __init__(
        self, engine: AsyncEngine, connection: Connection, settings: Settings, metrics: OrchestratorMetrics
    ) -> None:
        """Put it together."""
        self.store = ImportStore(engine, metrics)
        self.views, uploads = ImportViews(engine), UploadStore(engine, metrics)
        self.intake = ImportIntake(
            self.store,
            uploads,
            connection,
            start_seconds=settings.start_seconds,
            every_seconds=settings.intake_seconds,
            sweep_seconds=settings.import_sweep_seconds,
            priority=settings.import_priority,
        )
        self.activities = ImportActivities(
            self.store, self.views, connection, look_seconds=settings.import_look_seconds
        )
        self._api = ImportsApi(
            store=self.store,
            uploads=uploads,
            views=self.views,
            intake=self.intake,
            connection=connection,
            settings=settings,
        )

    def routes(self) -> list[web.RouteDef]:
        """The routes, for the chassis."""
        return self._api.routes()
