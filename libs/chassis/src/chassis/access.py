"""One line in the log for each request."""

import asyncio
import logging
import time

from aiohttp import web

from chassis.problems import Handler

logger = logging.getLogger("access")

PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that machines ask for every few seconds."""

CLIENT_GONE = 499
"""Status of a request whose client did not wait for the answer, as proxies write it."""

UNMATCHED = "unmatched"
"""Route of a request for which there is none: its path could be anything."""


def route_of(request: web.Request) -> str:
    """The template of the route that answers a request, of which there are only so many."""
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


@web.middleware
async def access_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log method, route, path, status and seconds. What probes ask for is logged for debugging only.

    A query is not logged, nor a body, nor a header: there may be anything in them.
    """
    began = time.perf_counter()
    status = 500
    try:
        response = await handler(request)
    except web.HTTPException as error:
        status = error.status
        raise
    except asyncio.CancelledError:
        status = CLIENT_GONE
        raise
    else:
        status = response.status
        return response
    finally:
        fields = {
            "method": request.method,
            "route": route_of(request),
            "path": request.path,
            "status": status,
            "seconds": round(time.perf_counter() - began, 6),
        }
        level = logging.DEBUG if request.path in PROBES else logging.INFO
        logger.log(level, "%s %s %d", request.method, request.path, status, extra=fields)
