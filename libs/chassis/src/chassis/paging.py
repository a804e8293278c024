"""Keyset pages: ``?after=KEY&limit=N`` in, ``{"items": […], "next": KEY}`` out."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from chassis.problems import Problem

DEFAULT_LIMIT = 200
MAX_LIMIT = 1000
MAX_KEY = 200


def page_args(request: web.Request, default: int = DEFAULT_LIMIT) -> tuple[str, int]:
    """What page is asked for.

    Args:
        request: With the optional query parameters ``after`` and ``limit``.
        default: Items of a page where the request names no limit.

    Returns:
        The key after which the page begins (empty for the first) and the most items of it.

    Raises:
        Problem: 400 if ``limit`` is not a whole number from 1 to 1000, or ``after`` cannot be a key.
    """
    after = request.query.get("after", "")
    if len(after) > MAX_KEY or not after.isprintable():
        raise Problem(400, "Invalid Page", "after is not a key.", field="after")
    text = request.query.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LIMIT and len(text) < 9):
        raise Problem(400, "Invalid Page", f"limit must be a whole number from 1 to {MAX_LIMIT}.", field="limit")
    return after, int(text)


def page(items: Sequence[dict[str, Any]], limit: int, key: str) -> web.Response:
    """A page of items.

    Args:
        items: In the order of their keys.
        limit: The page's limit; a full page may have a next one.
        key: The member that pages are ordered by.
    """
    following = items[-1][key] if len(items) == limit else None
    return web.json_response({"items": list(items), "next": following})
