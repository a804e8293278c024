"""All that single orders are made of, put together."""

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.connection import Connection
from chassis.http import HttpClient
from orchestrator.activities import Activities
from orchestrator.api import Api
from orchestrator.intake import Intake
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.reconciling import Reconciling
from orchestrator.sampling import Sampling
from orchestrator.settings import Settings
from orchestrator.store import Store


class Ordering:
    """Of one service.

    Attributes:
        http: Client for the mail provider.
        activities: For the worker.
        background: Runs beside it.
    """

    def __init__(
        self, engine: AsyncEngine, connection: Connection, settings: Settings, metrics: OrchestratorMetrics
    ) -> None:
        """Put it together."""
        store = Store(engine, metrics)
        self.http = HttpClient(timeout_seconds=settings.mailbox_seconds)
        self.activities = Activities(store, self.http, settings.mailbox_url, settings.approvers, metrics)
        intake = Intake(store, connection, **settings.intake)
        self.background = [intake.run, Reconciling(store).run, Sampling(engine, metrics).run]
        self._api = Api(store, intake, connection, settings)

    def routes(self) -> list[web.RouteDef]:
        """The routes, for the chassis."""
        return self._api.routes()
