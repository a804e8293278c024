"""The HTTP surface as a whole, and what starts the jobs that it takes."""

from collections.abc import Sequence

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.connection import Connection
from inventory import api
from inventory.books import Books
from inventory.counting import CountingStore
from inventory.imports import ImportStore
from inventory.imports_api import ImportsApi
from inventory.intake import Intake
from inventory.rounds import RoundStore
from inventory.settings import Settings
from inventory.staging import Staging
from inventory.stocktakes_api import StocktakesApi


def surface(engine: AsyncEngine, connection: Connection, settings: Settings) -> tuple[Sequence[web.RouteDef], Intake]:
    """Put the routes together.

    Args:
        engine: Of inventory's database.
        connection: To Temporal.
        settings: Of the service.

    Returns:
        The routes, and the intake that starts what they could not start.
    """
    imports = ImportsApi(ImportStore(engine), Staging(engine, settings), connection, settings)
    stocktakes = StocktakesApi(RoundStore(engine), CountingStore(engine), connection, settings)
    routes = [*api.routes(Books(engine), settings.operator_token), *imports.routes(), *stocktakes.routes()]
    return routes, Intake(connection, settings, [imports.kind, stocktakes.kind])
