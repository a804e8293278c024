"""The OpenAPI 3.1 document, made of the models."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator import models
from orchestrator.contract import Status

_MODELS: list[type[BaseModel]] = [
    models.OrderBody,
    models.ApprovalBody,
    models.CancellationBody,
    models.OrderDocument,
    models.OrderPage,
    models.Receipt,
    models.ProgressDocument,
    models.ProblemDocument,
]
_ORDER_ID = {
    "name": "order_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": models.ORDER_ID_PATTERN},
}
_PROBLEMS = {
    400: "The body is no JSON, or a parameter is wrong.",
    401: "An operator's bearer token is needed.",
    404: "There is no such order.",
    409: "It contradicts what is known of the order.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The body does not fit; `field` names the first member that does not.",
    503: "The database or Temporal does not answer. What was asked may still take effect: look at the order.",
}


def document() -> dict[str, Any]:
    """The whole document."""
    _, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    order = {"parameters": [_ORDER_ID]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Waybill orders",
            "version": "1",
            "description": "Place orders and follow them. Errors are problem documents (RFC 9457).",
        },
        "paths": {
            "/orders": {
                "post": _operation(
                    "placeOrder",
                    "Place an order. The same order again, by its id or by Idempotency-Key, is the same order.",
                    {202: ("It is written down.", "Receipt")},
                    (400, 409, 413, 415, 422, 503),
                    body="OrderBody",
                    parameters=[_header("Idempotency-Key")],
                ),
                "get": _operation(
                    "listOrders",
                    "Orders, newest first.",
                    {200: ("A page.", "OrderPage")},
                    (400, 503),
                    parameters=[
                        _query("status", {"type": "string", "enum": [status.value for status in Status]}),
                        _query("after", {"type": "string"}),
                        _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}),
                    ],
                ),
            },
            "/orders/{order_id}": {
                **order,
                "get": _operation("getOrder", "One order.", {200: ("It.", "OrderDocument")}, (404, 503)),
            },
            "/orders/{order_id}/approval": {
                **order,
                "post": _operation(
                    "decideOrder",
                    "Approve or refuse an order that waits for it. For operators.",
                    {200: ("It is decided.", "ProgressDocument")},
                    (400, 401, 404, 409, 413, 415, 422, 503),
                    body="ApprovalBody",
                    operator=True,
                ),
            },
            "/orders/{order_id}/cancellation": {
                **order,
                "post": _operation(
                    "cancelOrder",
                    "Cancel an order. Refused once its payment is being captured.",
                    {202: ("It is being undone.", "ProgressDocument")},
                    (400, 404, 409, 413, 415, 422, 503),
                    body="CancellationBody",
                ),
            },
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    operation_id: str,
    summary: str,
    answers: dict[int, tuple[str, str]],
    problems: tuple[int, ...],
    *,
    body: str | None = None,
    parameters: list[dict[str, Any]] | None = None,
    operator: bool = False,
) -> dict[str, Any]:
    responses = {
        str(status): {"description": text, "content": {"application/json": {"schema": _ref(model)}}}
        for status, (text, model) in answers.items()
    } | {
        str(status): {
            "description": _PROBLEMS[status],
            "content": {"application/problem+json": {"schema": _ref("ProblemDocument")}},
        }
        for status in problems
    }
    return {
        "operationId": operation_id,
        "summary": summary,
        **({"parameters": parameters} if parameters else {}),
        **(
            {"requestBody": {"required": True, "content": {"application/json": {"schema": _ref(body)}}}} if body else {}
        ),
        "responses": responses,
        **({"security": [{"operator": []}]} if operator else {}),
    }


def _ref(model: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model}"}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _header(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 200}}
