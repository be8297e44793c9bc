"""What an answer of the API server means: an object, or an error with a name.

A failure is a ``Status`` object (apimachinery's ``metav1.Status``) with `reason`, `message` and
`details`; a path that does not exist is plain text with 404, and a proxy in between answers what
it likes. Every message names the object and repeats the server's own words.
"""

import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from importer.errors import (
    ClusterForbidden,
    ClusterRefused,
    ClusterUnavailable,
    NoSpace,
    NotInstalled,
    ObjectGone,
    TargetBusy,
    TargetError,
)
from importer.kube.resources import Resource
from importer.units import MiB

LARGEST = 64 * MiB
"""Bytes of an answer at most. The server's own limit for one object is 1.5 MiB (etcd); lists come
in pages."""

_LATER = frozenset({408, 429, 500, 502, 503, 504})
_SHOWN = 500
"""Characters of a text that is not ours, in a message."""


class Expired(ClusterUnavailable):
    """The server has forgotten the version that was asked for (410): list again."""


class Changed(TargetBusy):
    """The object is not the version, or the one, that the request named (409)."""


class Later(ClusterUnavailable):
    """The same request may do better in a while."""

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds
        """What the server asks to wait, where it does."""


class Renew(ClusterForbidden):
    """The credentials were refused (401)."""


@dataclass(frozen=True, slots=True)
class About:
    """What a request was about, for messages."""

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}".strip("/")
        what = self.resource.kind if self.name else self.resource.plural
        return f"{what} {where}".rstrip()


async def read(response: aiohttp.ClientResponse, about: About) -> dict[str, Any]:
    """Return the object of *response*, or raise what its failure means."""
    body = await _body(response, about)
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if response.status < 300 and isinstance(found, dict):
        return found
    if response.status < 300:
        raise Later(f"{about}: the answer is no JSON: {_excerpt(body)}")
    if isinstance(found, dict) and found.get("kind") == "Status":
        raise failure(found, about, response.status, _retry_after(response))
    raise _unworded(response.status, body, about)


def failure(
    status: dict[str, Any], about: About, code: int = 0, seconds: float | None = None
) -> Exception:
    """Return the error that a ``Status`` object stands for."""
    code = int(status.get("code") or code)
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or "no reason given")[:_SHOWN]
    told = f"{about}: {message}"
    if code == 410 or reason in ("Expired", "Gone"):
        return Expired(told)
    if code == 401:
        return Renew(told)
    if code in _LATER:
        return Later(told, seconds)
    return _permanent(code, reason, told)


def _permanent(code: int, reason: str, told: str) -> Exception:
    if code == 404:
        return ObjectGone(told)
    if code == 403:
        return _denied(told)
    if reason == "AlreadyExists":
        return TargetBusy(told)
    if code == 409:
        return Changed(told)
    return ClusterRefused(f"{told} ({code} {reason})".rstrip())


def _denied(told: str) -> Exception:
    """Return the error for a 403: RBAC, a quota and webhooks all answer with it."""
    if "exceeded quota" in told:
        return NoSpace(told)
    if "cannot " in told and " resource " in told:  # the authorizer's words
        return ClusterForbidden(f"{told}: the service's role must grant it")
    return ClusterRefused(told)


def _unworded(code: int, body: bytes, about: About) -> Exception:
    """Return the error for an answer that is no ``Status``."""
    text = _excerpt(body)
    if code in _LATER:
        return Later(f"{about}: {code} {text}")
    if code == 401:
        return Renew(f"{about}: {code} {text}")
    if code == 404:
        # The real server's text for a path that no definition serves: "404 page not found".
        return NotInstalled(
            f"the cluster has no {about.resource.name} ({about.resource.version}): "
            f"is {about.resource.owner} installed, in a version that serves it?"
        )
    return ClusterRefused(f"{about}: {code} {text}")


def unavailable(about: About, address: str, seconds: float, exc: Exception) -> TargetError:
    """Return the error for a server that did not come back in time."""
    why = str(exc) or type(exc).__name__
    return ClusterUnavailable(
        f"API server {address}: cannot {about.verb} {about} for {seconds:.0f} s: {why}"
    )


async def _body(response: aiohttp.ClientResponse, about: About) -> bytes:
    if (response.content_length or 0) > LARGEST:
        raise ClusterRefused(f"{about}: the answer has more than {LARGEST} bytes")
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) > LARGEST:
            raise ClusterRefused(f"{about}: the answer has more than {LARGEST} bytes")
    return bytes(found)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _excerpt(body: bytes) -> str:
    text = " ".join(body[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
    return "".join(char if char.isprintable() else "?" for char in text) or "an empty answer"
