"""All routes of other servers, put together."""

from dataclasses import dataclass

from importer.api.compat import cdi, harvester, longhorn
from importer.api.compat.requests import Service
from importer.api.problems import Handler


@dataclass(frozen=True, slots=True)
class CompatRoute:
    """One of them. `/openapi.json` has none: their own servers describe them."""

    method: str
    path: str
    handler: Handler


def compat_routes(service: Service) -> list[CompatRoute]:
    """Return them."""
    proxy = cdi.CdiRoutes(service)
    return [
        *(CompatRoute("*", path, proxy.handle) for path in cdi.PATHS),
        CompatRoute("POST", f"{longhorn.PREFIX}{{name}}", longhorn.LonghornRoutes(service).upload),
        CompatRoute(
            "POST",
            f"{harvester.PREFIX}{{namespace}}/{{name}}",
            harvester.HarvesterRoutes(service).upload,
        ),
    ]
