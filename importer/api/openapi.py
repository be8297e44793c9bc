"""``/openapi.json`` (OpenAPI 3.1), made from the routes and the models that serve them."""

import inspect
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from importer import __version__
from importer.api.problems import Failure
from importer.api.routes import Route
from importer.errors import CallerError, ImporterError, OriginRefused, Unauthorized
from importer.model import Name

_REF = "#/components/schemas/{name}"


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the description of *routes*."""
    kinds = list(_kinds(routes))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    by_kind = {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Image importer",
            "version": __version__,
            "description": "Takes VM disk images and makes bootable volumes of them.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _kinds(routes: Sequence[Route]) -> list[Any]:
    found: list[Any] = [Failure, Name]
    for route in routes:
        found += [kind for kind in route.status.values() if kind and not isinstance(kind, str)]
        found += [*route.query.values(), *route.headers.values()]
        if route.body is not None and not isinstance(route.body, tuple):
            found.append(route.body)
    return list({id(kind): kind for kind in found}.values())


def _operation(route: Route, schemas: dict[int, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{re.sub(r'[^a-z]+', '-', route.path)}".strip("-"),
        "summary": (inspect.getdoc(route.handler) or "").partition("\n")[0],
        "parameters": _parameters(route, schemas),
        "responses": _responses(route, schemas),
    }
    if route.public:
        operation["security"] = []
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route, schemas)}
    return operation


def _content(route: Route, schemas: dict[int, Any]) -> dict[str, Any]:
    if isinstance(route.body, tuple):
        return {media: {"schema": _bytes_of(media)} for media in route.body}
    content = {"application/json": {"schema": schemas[id(route.body)]}}
    return content | {media: {"schema": _bytes_of(media)} for media in route.instead}


def _bytes_of(media: str) -> dict[str, Any]:
    if media != "multipart/form-data":
        return {"type": "string", "format": "binary"}
    file = {"type": "string", "format": "binary"}
    return {"type": "object", "properties": {"file": file}, "required": ["file"]}


def _parameters(route: Route, schemas: dict[int, Any]) -> list[dict[str, Any]]:
    path = [
        {"name": name, "in": "path", "required": True, "schema": schemas[id(Name)]}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    query = [
        {"name": name, "in": "query", "required": False, "schema": schemas[id(kind)]}
        for name, kind in route.query.items()
    ]
    headers = [
        {"name": name, "in": "header", "required": True, "schema": schemas[id(kind)]}
        for name, kind in route.headers.items()
    ]
    return path + query + headers


def _responses(route: Route, schemas: dict[int, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in route.status.items():
        responses[str(status)] = _success(kind, schemas)
    for status, slugs in _failures(route).items():
        content = {"application/json": {"schema": schemas[id(Failure)]}}
        responses[str(status)] = {"description": ", ".join(slugs), "content": content}
    return responses


def _success(kind: Any, schemas: dict[int, Any]) -> dict[str, Any]:
    if kind is None:
        return {"description": "done"}
    if isinstance(kind, str):
        return {"description": "as asked", "content": {kind: {"schema": {"type": "string"}}}}
    return {
        "description": "as asked",
        "content": {"application/json": {"schema": schemas[id(kind)]}},
    }


def _failures(route: Route) -> dict[int, list[str]]:
    always: list[type[ImporterError]] = [CallerError, OriginRefused, ImporterError]
    if not route.public:
        always.append(Unauthorized)
    by_status: dict[int, list[str]] = {}
    for error in (*always, *route.errors):
        by_status.setdefault(error.status, []).append(error.slug)
    return {status: sorted(set(slugs)) for status, slugs in sorted(by_status.items())}
