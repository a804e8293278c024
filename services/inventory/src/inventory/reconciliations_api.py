"""The operators' HTTP surface for reports of the stock's reconciliation."""

from collections.abc import Sequence

from aiohttp import web
from pydantic import SecretStr

from chassis.problems import Problem, operators_only
from inventory.reconciling import Reconciler


def routes(reconciler: Reconciler, operator_token: SecretStr) -> Sequence[web.RouteDef]:
    """The routes.

    Args:
        reconciler: Whose reports.
        operator_token: Guards them.
    """

    async def latest(_: web.Request) -> web.StreamResponse:
        report = await reconciler.latest()
        if report is None:
            raise Problem(404, "Not Found", "There is no reconciliation yet.")
        return web.json_response(report)

    return [web.get("/reconciliations/latest", operators_only(operator_token)(latest))]
