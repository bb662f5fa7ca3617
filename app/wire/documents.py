"""The OpenAPI document, told of what all routes share: the envelopes, the credentials and the refusals."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

Json = dict[str, Any]

_ENVELOPES: Json = {
    "Success": {
        "type": "object",
        "required": ["success", "data"],
        "properties": {
            "success": {"const": True},
            "data": {"type": ["object", "array"]},
            "message": {"type": "string"},
            "status": {
                "const": "processing",
                "description": "The work goes on: ask for `data.output_url` until this is gone.",
            },
            "request_type": {"const": "sync"},
        },
        "additionalProperties": False,
    },
    "Failure": {
        "type": "object",
        "required": ["success", "message", "error_code"],
        "properties": {
            "success": {"const": False},
            "message": {"type": "string", "minLength": 1},
            "error_code": {"type": "string", "pattern": "^[a-z_]+$"},
            "field": {"type": "string", "description": "Which part of the request is wrong."},
        },
        "additionalProperties": False,
    },
    "Readiness": {
        "type": "object",
        "required": ["success", "data"],
        "properties": {
            "success": {"type": "boolean"},
            "data": {"type": "object"},
            "message": {"type": "string"},
            "error_code": {"type": "string"},
        },
    },
}
_SCHEMES: Json = {
    "key": {"type": "apiKey", "in": "header", "name": "x-access-token"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_REFUSALS = {
    "400": "The request is wrong; `field` says where.",
    "404": "There is no such thing, or it is another account's.",
    "409": "The state of things forbids it.",
    "413": "The body is too large.",
    "414": "The URL is too long.",
    "431": "The headers are too large.",
    "503": "A part that this needs does not answer: try again.",
}
_REFUSALS_OF_CALLERS = {
    "401": "No credential, or one that is unknown, expired or revoked.",
    "403": "The credential may not do this.",
    "429": "Too many requests: `Retry-After` says in how many seconds to come back.",
}
_REFUSALS_OF_LINKS = {"403": "The link is invalid or has expired.", "410": "The link has expired."}
_REFUSALS_OF_BODIES = {
    "415": "The body is of a type that is not taken.",
    "422": "The body is well-formed and cannot be served.",
}
_CREDENTIALS = {"x-access-token", "authorization"}


def document(app: FastAPI) -> None:
    """Serve the amended document at `/openapi.json`."""

    def openapi() -> Json:
        if app.openapi_schema is None:
            described = get_openapi(title=app.title, version=app.version, routes=app.routes)
            app.openapi_schema = _amended(described)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _amended(described: Json) -> Json:
    components = described.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for framework in ("HTTPValidationError", "ValidationError"):
        schemas.pop(framework, None)  # every failure is an envelope here
    schemas |= _ENVELOPES
    components["securitySchemes"] = _SCHEMES
    for path, methods in described["paths"].items():
        for operation in methods.values():
            _amend(path, operation)
    return described


def _amend(path: str, operation: Json) -> None:
    parameters = operation.get("parameters", [])
    wants_caller = any(parameter["name"] in _CREDENTIALS for parameter in parameters)
    operation["parameters"] = [one for one in parameters if one["name"] not in _CREDENTIALS]
    operation["security"] = [{name: []} for name in _SCHEMES] if wants_caller else []
    responses = operation["responses"]
    responses.pop("422", None)
    for answer in responses.values():
        if "application/json" in answer.get("content", {}):
            answer["content"] = {"application/json": {"schema": _named("Success")}}
    if path == "/readyz":
        responses["200"]["content"] = {"application/json": {"schema": _named("Readiness")}}
        responses["503"] = {"description": "Not ready."} | responses["200"]
    refusals = _REFUSALS | (_REFUSALS_OF_CALLERS if wants_caller else _REFUSALS_OF_LINKS)
    if "requestBody" in operation:
        refusals |= _REFUSALS_OF_BODIES
    for status, description in refusals.items():
        content = {"application/json": {"schema": _named("Failure")}}
        responses.setdefault(status, {"description": description, "content": content})


def _named(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}
