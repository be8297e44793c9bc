"""All routes of other servers, put together. Their own servers describe them."""

from importer.api.compat import cdi, harvester, longhorn
from importer.api.compat.requests import Service
from importer.api.problems import Handler
from importer.api.routes import Route
from importer.api.taking import Taking


def compat_routes(service: Service, taking: Taking) -> list[Route]:
    """Return them; uploads are let in by *taking*, as everywhere."""
    proxy = cdi.CdiRoutes(service)
    routes: list[tuple[str, str, Handler]] = [
        ("POST", longhorn.PATH, longhorn.LonghornRoutes(service).upload),
        ("POST", harvester.PATH, harvester.HarvesterRoutes(service).upload),
        *(("*", path, proxy.handle) for path in cdi.PATHS),
    ]
    return [
        Route(method, path, taking.counted(handler), {200: None}, described=False)
        for method, path, handler in routes
    ]
