"""All routes of other servers, put together. Their own servers describe them."""

from importer.api.compat import cdi, harvester, longhorn
from importer.api.compat.requests import Service
from importer.api.problems import Handler
from importer.api.routes import Route
from importer.api.taking import Taking


def compat_routes(service: Service, taking: Taking) -> list[Route]:
    """Return them; uploads are let in by *taking*, as everywhere."""
    proxy = cdi.CdiRoutes(service)
    routes: dict[str, Handler] = {
        longhorn.PATH: longhorn.LonghornRoutes(service).upload,
        harvester.PATH: harvester.HarvesterRoutes(service).upload,
        **dict.fromkeys(cdi.PATHS, proxy.handle),
    }
    return [
        Route("*", path, taking.counted(handler), {200: None}, described=False)
        for path, handler in routes.items()
    ]
