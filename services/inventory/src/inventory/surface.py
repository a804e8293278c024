"""The HTTP surface as a whole, and what starts the jobs that it takes."""

from collections.abc import Sequence

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.connection import Connection
from chassis.service import Background
from inventory import api, reconciliations_api
from inventory.books import Books
from inventory.counting import CountingStore
from inventory.imports import ImportStore
from inventory.imports_api import ImportsApi
from inventory.intake import Intake
from inventory.metrics import InventoryMetrics
from inventory.reconciling import Reconciler
from inventory.rounds import RoundStore
from inventory.settings import Settings
from inventory.staging import Staging
from inventory.stocktakes_api import StocktakesApi


def surface(
    engine: AsyncEngine, connection: Connection, settings: Settings, metrics: InventoryMetrics
) -> tuple[Sequence[web.RouteDef], Sequence[Background]]:
    """Put the routes together.

    Args:
        engine: Of inventory's database.
        connection: To Temporal.
        settings: Of the service.
        metrics: Of inventory.

    Returns:
        The routes, and what runs beside the worker: the intake, which starts what they could not start, and what
        keeps the metrics at the newest reconciliation.
    """
    imports = ImportsApi(ImportStore(engine), Staging(engine, settings), connection, settings)
    stocktakes = StocktakesApi(RoundStore(engine), CountingStore(engine, metrics), connection, settings)
    reconciler = Reconciler(engine, metrics)
    token = settings.operator_token
    own = [*api.routes(Books(engine, metrics), token), *reconciliations_api.routes(reconciler, token)]
    intake = Intake(connection, settings, [imports.kind, stocktakes.kind])
    return [*own, *imports.routes(), *stocktakes.routes()], [intake.run, reconciler.show]
