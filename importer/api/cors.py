"""Pages of configured origins (`[service] origins`) may ask, and read answers: the Fetch standard's
CORS protocol (https://fetch.spec.whatwg.org/#http-cors-protocol). No cookies, so no credentials.
"""

from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Middleware

from importer.api.problems import Handler

_REQUEST = (
    "Authorization, Content-Type, File-Size, Tus-Resumable, Upload-Defer-Length, Upload-Length, "
    "Upload-Metadata, Upload-Offset, X-HTTP-Method-Override, X-Request-ID, X-Requested-With"
)
_RESPONSE = (
    "Location, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Defer-Length, "
    "Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset"
)


def add_cors(app: web.Application, origins: Collection[str]) -> None:
    """Let pages of *origins* read what *app* answers."""

    async def readable(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = str(origin)
            response.headers["Access-Control-Expose-Headers"] = _RESPONSE
            response.headers["Vary"] = "Origin"

    if origins:
        app.on_response_prepare.append(readable)


def preflight(origins: Collection[str]) -> Middleware:
    """Return the middleware that answers a browser which asks whether a page may ask.

    It goes before the door: such a request has no token, and does nothing.
    """

    @web.middleware
    async def answers(request: web.Request, handler: Handler) -> web.StreamResponse:
        asks = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or not asks or request.headers.get("Origin") not in origins:
            return await handler(request)
        headers = {
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": _REQUEST,
            "Access-Control-Max-Age": "600",
        }
        return web.Response(status=204, headers=headers)

    return answers
