"""Puts the routes together into one aiohttp application."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from importer.api.auth import Door
from importer.api.compat.words import worded
from importer.api.cors import add_cors, preflight
from importer.api.images import wait_to_continue
from importer.api.openapi import describe
from importer.api.page import add_page
from importer.api.problems import errors
from importer.api.routes import JSON_LIMIT, Route, json
from importer.api.tus import marked


def application(door: Door, routes: Sequence[Route]) -> web.Application:
    """Return the application that serves *routes*, their description and the page."""
    app = web.Application(
        middlewares=[errors, worded, preflight(door.origins), door.middleware],
        client_max_size=JSON_LIMIT,
    )
    everything = [*routes, _description(routes)]
    for route in everything:
        app.router.add_route(
            route.method, route.path, route.handler, expect_handler=wait_to_continue
        )
    add_page(app)
    add_cors(app, door.origins)
    app.on_response_prepare.append(marked)
    return app


def _description(routes: Sequence[Route]) -> Route:
    async def openapi(request: web.Request) -> web.Response:
        """Describe the API."""
        return json(document)

    route = Route("GET", "/openapi.json", openapi, {200: dict[str, Any]})
    document = describe([*(known for known in routes if known.described), route])
    return route
