"""Errors of the HTTP surfaces as problem documents (RFC 9457), and bodies read strictly."""

import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, SecretStr, ValidationError

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
MAX_BODY = 256 * 1024
"""Most bytes of a request's body, unless an application says otherwise."""

DATABASE_AWAY: web.AppKey[tuple[type[Exception], ...]] = web.AppKey("database_away", tuple)
"""What an application's database raises when it does not answer. The application says so, because a program without a
database should not pay for the import of one."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ModelT = TypeVar("ModelT", bound=BaseModel)


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """An answer that says what is wrong."""

    def __init__(self, status: int, title: str, detail: str, field: str | None = None, **members: Any) -> None:
        """Describe the problem.

        Args:
            status: HTTP status, 400 to 599.
            title: What kind of problem; the same for each occurrence.
            detail: What is wrong this time.
            field: Path of the member of the body, or name of the parameter, that is wrong.
            members: Extension members of the document.
        """
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.field = field
        self.members = members

    def response(self) -> web.Response:
        """The problem document."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **({"field": self.field} if self.field is not None else {}),
            **self.members,
        }
        return web.json_response(body, status=self.status, content_type=CONTENT_TYPE)


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem document, aiohttp's own included."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        response = Problem(error.status, error.reason, _detail(request, error)).response()
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception as error:
        if isinstance(error, request.config_dict.get(DATABASE_AWAY, ())):
            logger.warning("the database does not answer", exc_info=True, extra={"route": _route(request)})
            response = Problem(503, "Service Unavailable", "The database does not answer. Try again.").response()
            response.headers["Retry-After"] = "1"
            return response
        logger.exception("request failed", extra={"route": _route(request), "method": request.method})
        return Problem(
            500, "Internal Server Error", "The request failed for a reason that was not foreseen."
        ).response()


def _detail(request: web.Request, error: web.HTTPException) -> str:
    match error.status:
        case HTTPStatus.NOT_FOUND:
            return f"There is nothing at {request.path}."
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return f"{request.method} is not allowed at {request.path}."
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return "The body is too large."
        case _:
            return error.text or error.reason


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


async def read_json(request: web.Request, model: type[ModelT]) -> ModelT:
    """Read a request's body.

    Args:
        request: With a JSON body.
        model: What the body must be; whole numbers are whole numbers and truth values are not numbers (strict mode).

    Raises:
        Problem: 400 if it is no JSON, 413 if it is too large, 415 if it claims to be something else, 422 if it does
            not fit, with the path of the first member that does not.
    """
    if request.content_type != "application/json":
        raise Problem(415, "Unsupported Media Type", "The body must be application/json.")
    try:
        raw = await request.read()
    except web.RequestPayloadError as error:  # such as gzip that is none
        raise Problem(400, "Broken Body", "The body did not arrive whole, or is not encoded as it says.") from error
    try:
        json.loads(raw, parse_constant=_no_constant, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise _malformed(error) from error
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        # Pydantic is stricter than the standard library: it refuses lone surrogates, and UTF-16.
        [first, *_] = error.errors(include_url=False, include_input=False, include_context=False)
        raise (_malformed(first["msg"]) if first["type"] == "json_invalid" else invalid(error)) from error


def _malformed(why: object) -> Problem:
    return Problem(400, "Malformed JSON", f"The body is no JSON: {why}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _once_each(members: list[tuple[str, Any]]) -> None:
    """RFC 8259 leaves open which of two members of one name counts, so whoever sends two cannot mean either."""
    seen: set[str] = set()
    for name, _ in members:
        if name in seen:
            raise ValueError(f"the member {name[:40]!r} is there twice")
        seen.add(name)


def invalid(error: ValidationError) -> Problem:
    """The problem document for what pydantic found wrong."""
    errors = [
        {"field": ".".join(str(part) for part in item["loc"]) or "body", "detail": item["msg"]}
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    first = errors[0]
    return Problem(422, "Invalid Request", f"{first['field']}: {first['detail']}", field=first["field"], errors=errors)


def operators_only(token: SecretStr) -> Callable[[Handler], Handler]:
    """A decorator for handlers that only operators may call.

    Args:
        token: What the caller must send as ``Authorization: Bearer …``.
    """
    expected = f"Bearer {token.get_secret_value()}".encode()

    def decorate(handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            # aiohttp keeps bytes that are no UTF-8 as lone surrogates.
            given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
            if not hmac.compare_digest(given, expected):
                response = Problem(401, "Unauthorized", "This needs an operator's bearer token.").response()
                response.headers["WWW-Authenticate"] = "Bearer"
                return response
            return await handler(request)

        return guarded

    return decorate
