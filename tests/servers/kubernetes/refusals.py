"""Refusals in the words and the shape of a real API server (apimachinery's api/errors)."""

from collections.abc import Sequence
from typing import Any

from tests.servers.kubernetes.resources import Resource


class Refused(Exception):
    """An answer that is no: a ``Status`` with its HTTP status."""

    def __init__(
        self, status: int, reason: str, message: str, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({"details": details} if details else {}),
            "code": status,
        }


def details(resource: Resource, name: str = "", **more: Any) -> dict[str, Any]:
    """Return ``details`` as the server words them: ``kind`` is the plural."""
    named = {"name": name} if name else {}
    group = {"group": resource.group} if resource.group else {}
    return {**named, **group, "kind": resource.plural, **more}


def not_found(resource: Resource, name: str) -> Refused:
    text = f'{resource.name} "{name}" not found'
    return Refused(404, "NotFound", text, details(resource, name))


def already_exists(resource: Resource, name: str) -> Refused:
    text = f'{resource.name} "{name}" already exists'
    return Refused(409, "AlreadyExists", text, details(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> Refused:
    why = why or (
        "the object has been modified; please apply your changes to the latest version and "
        "try again"
    )
    text = f'Operation cannot be fulfilled on {resource.name} "{name}": {why}'
    return Refused(409, "Conflict", text, details(resource, name))


def precondition(resource: Resource, name: str, wanted: str, found: str) -> Refused:
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    return conflict(resource, name, why)


def invalid(resource: Resource, name: str, field: str, message: str) -> Refused:
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    causes = [{"reason": "FieldValueInvalid", "message": message, "field": field}]
    group = {"group": resource.group} if resource.group else {}
    more = {"name": name, **group, "kind": resource.kind, "causes": causes}
    return Refused(422, "Invalid", f'{kind} "{name}" is invalid: {field}: {message}', more)


def unsupported(
    resource: Resource, name: str, field: str, value: str, allowed: Sequence[str]
) -> Refused:
    words = ", ".join(f'"{word}"' for word in allowed)
    refused = invalid(
        resource, name, field, f'Unsupported value: "{value}": supported values: {words}'
    )
    refused.body["details"]["causes"][0]["reason"] = "FieldValueNotSupported"
    return refused


def forbidden(
    user: str, verb: str, resource: Resource, namespace: str, name: str = "", sub: str = ""
) -> Refused:
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    plural = f"{resource.plural}/{sub}" if sub else resource.plural
    subject = f'{resource.name} "{name}"' if name else resource.name
    text = (
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{plural}" '
        f'in API group "{resource.group}" {where}'
    )
    return Refused(403, "Forbidden", text, details(resource, name))


def unauthorized() -> Refused:
    return Refused(401, "Unauthorized", "Unauthorized")


def bad_request(message: str) -> Refused:
    return Refused(400, "BadRequest", message)


def gone(message: str) -> Refused:
    return Refused(410, "Expired", message)


def denied(webhook: str, message: str, status: int = 403, reason: str = "Forbidden") -> Refused:
    """A validating webhook's no."""
    text = f'admission webhook "{webhook}" denied the request: {message}'
    return Refused(status, reason, text)


def later(status: int, retry_after: int | None = None, message: str = "") -> Refused:
    """429, 500, 503 or 504 as an overloaded or starting server gives them."""
    reasons = {
        429: ("TooManyRequests", "Too many requests, please try again later."),
        500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
        503: ("ServiceUnavailable", "apiserver not ready"),
        504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
        409: ("Conflict", "the object has been modified; please apply your changes to the latest"),
    }
    reason, text = reasons.get(status, ("", f"fault {status}"))
    more = {"retryAfterSeconds": retry_after} if retry_after is not None else None
    refused = Refused(status, reason, message or text, more)
    if retry_after is not None:
        refused.headers["Retry-After"] = str(retry_after)
    return refused
