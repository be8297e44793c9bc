"""The web page: static files of `importer.web`, and headers that let it load nothing else."""

from importlib import resources
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


def add_page(app: web.Application) -> None:
    """Serve the page at ``/`` and its files below ``/static/``."""
    folder = Path(str(resources.files("importer.web")))

    async def index(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(folder / "index.html")

    app.router.add_get("/", index)
    app.router.add_static("/static/", folder)
    app.middlewares.append(_compressed)
    app.on_response_prepare.append(_guarded)


_CONDITIONS = {"If-None-Match", "If-Modified-Since", "If-Range", "Range"}


@web.middleware
async def _compressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send the page's files in a third of their bytes: milliseconds of work for half a second."""
    response = await handler(request)
    # aiohttp 3.14 gives a compressed answer a body where there must be none: to HEAD, and with 304.
    plain = request.method == "HEAD" or _CONDITIONS & request.headers.keys()
    if isinstance(response, web.FileResponse) and not plain:
        response.enable_compression()
    return response


async def _guarded(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(
        HEADERS if not request.path.startswith(("/v1/", "/metrics")) else _API_HEADERS
    )


_API_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
