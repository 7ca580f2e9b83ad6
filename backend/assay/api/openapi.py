"""The OpenAPI 3.1 document, made from the routes themselves."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from assay.api.routing import PATH_SCHEMAS, Route
from assay.errors import (
    AssayError,
    BadRequest,
    FieldError,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)

REF = "#/components/schemas/{name}"
PARAMETER = re.compile(r"{([a-z_]+)(?::[^}]*)?}")

PROBLEM_SCHEMA = {
    "title": "Problem",
    "type": "object",
    "description": "Problem details (RFC 9457)",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "stable name of the error"},
        "field": {"type": "string", "description": "path of the field that is wrong"},
        "hint": {"type": "string", "description": "what would be right"},
        "retry_after": {"type": "number", "description": "seconds to wait"},
        "incident": {"type": "string"},
    },
}


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _has_schema(kind: Any) -> bool:
    if kind in (None, types.NoneType) or (isinstance(kind, type) and issubclass(kind, web.StreamResponse)):
        return False
    return all(not (isinstance(arg, type) and issubclass(arg, web.StreamResponse)) for arg in typing.get_args(kind))


def _errors(route: Route) -> dict[int, list[str]]:
    kinds: list[type[AssayError]] = [TooManyRequests, Unavailable, Unauthenticated, *route.errors]
    if route.body is not None or route.accepts:
        kinds += [BadRequest, FieldError, UnsupportedMedia, TooLarge]
    if route.query is not None or "{" in route.path or route.method == "GET":
        kinds.append(FieldError)
    found: dict[int, list[str]] = {}
    for kind in kinds:
        codes = found.setdefault(kind.status, [])
        if kind.code not in codes:
            codes.append(kind.code)
    return found


def _operation(route: Route, schemas: dict[Any, dict[str, Any]], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.tag}_{route.handler.__name__}",
        "tags": [route.tag],
        "summary": route.summary,
        "description": route.description,
        "responses": {},
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": PATH_SCHEMAS[name]}
        for name in PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        struct = components[route.query.__name__]
        parameters += [
            {"name": name, "in": "query", "required": name in struct.get("required", ()), "schema": schema}
            for name, schema in struct["properties"].items()
        ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[route.body]}}}
    elif route.accepts:
        raw = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"required": True, "content": {kind: raw for kind in route.accepts}}
    if route.auth:
        operation["security"] = [{"bearer": []}]
    answer: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if _has_schema(route.result):
        answer["content"] = {route.media: {"schema": schemas[route.result]}}
    elif route.result is not types.NoneType and route.status != 101:
        answer["content"] = {route.media: {"schema": {"type": "string"}}}
    operation["responses"][str(204 if route.result is types.NoneType else route.status)] = answer
    for status, codes in sorted(_errors(route).items()):
        operation["responses"][str(status)] = {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(codes)}",
            "content": {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}},
        }
    return operation


def document(routes: Sequence[Route], *, version: str, url: str = "/") -> dict[str, Any]:
    """The document of `routes`."""
    kinds: list[Any] = []
    for route in routes:
        for kind in (route.body, route.query, route.result if _has_schema(route.result) else None):
            if kind is not None and kind not in kinds:
                kinds.append(kind)
    found, components = msgspec.json.schema_components(kinds, ref_template=REF)
    schemas = dict(zip(kinds, found, strict=True))
    queries = {route.query.__name__ for route in routes if route.query is not None}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas, components)
    shown = {name: schema for name, schema in components.items() if name not in queries}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Assay",
            "version": version,
            "description": "A marketplace for AI training data: post requests, label, validate, be paid on Solana.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            "schemas": {**shown, "Problem": PROBLEM_SCHEMA},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
