"""What a request's method and path ask for."""

from dataclasses import dataclass
from urllib.parse import unquote

from multidict import MultiMapping

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "GET": "get", "DELETE": "delete"}
_OF_A_NAMESPACE = ("status", "finalize")


@dataclass(frozen=True)
class Asked:
    """A request in the API's words."""

    verb: str
    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def asked(method: str, path: str, query: MultiMapping[str]) -> Asked | None:
    """Return what is asked by a raw (still quoted) path, or None when it is no resource's."""
    match [unquote(part) for part in path.strip("/").split("/")]:
        case ["api", version, *rest] if rest:
            group = ""
        case ["apis", group, version, *rest] if rest:
            pass
        case _:
            return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _OF_A_NAMESPACE:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = [*rest, "", ""][:3]
    verb = _VERBS.get(method, method.lower())
    if not name:
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
    if verb == "list" and query.get("watch") in ("1", "true", "True"):
        verb = "watch"
    if plural == "namespaces":
        namespace = name
    return Asked(verb, group, version, plural, namespace, name, subresource)
