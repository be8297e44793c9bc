"""CDI's upload proxy, as virtctl and others speak to it: ``/v1beta1/upload`` and its sisters.

CDI authorises: the client's token goes to the real proxy, and what that answers before it asks for
the body is the client's answer, status and text (transcripts ``cdi-proxy-*``). Then the body is
looked at, and sent on in the form that costs the volume least.
"""

import base64
import binascii
from dataclasses import dataclass

import msgspec
from aiohttp import web

from importer import errors
from importer.api.compat.requests import (
    Service,
    error,
    file_in_form,
    is_form,
    request_of,
    text,
    uploaded,
)
from importer.jobs.into import Into
from importer.kube.objects import Claim, view
from importer.kube.resources import CLAIMS
from importer.model import Name
from importer.sources.upload import Body
from importer.targets.cdi import claim as claims
from importer.targets.cdi import proxy
from importer.targets.remote import Answer, Sending, asked

PATHS = {
    f"/{version}/upload{form}{later}": f"/{version}/upload{later}"
    for version in ("v1beta1", "v1alpha1")
    for form in ("", "-form")
    for later in ("", "-async")
}
"""Path of a client → where its bytes go at the real proxy: never as a form (common.go:343-376)."""

_METHODS = frozenset({"POST", "HEAD", "GET", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FIELD = "file"
_SAVING = "Saving stream failed: "
_LARGER = "effective image size is larger than the reported available storage: "
_CLONE = "x-cdi-content-type"


class _Said(msgspec.Struct, frozen=True):
    """What a token says; CDI has proved it."""

    name: str
    namespace: Name


@dataclass(frozen=True, slots=True)
class CdiRoutes:
    """The handlers."""

    service: Service

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request to one of PATHS."""
        if request.method not in _METHODS:
            return error(404, "404 page not found")
        cluster, settings = self.service.there, self.service.config.cdi
        to = await proxy.find(cluster, settings)
        if request.method != "POST":
            url = to.url.with_path(request.path)
            return _passed(await asked(str(to), request.method, url, _token(request), to.tls))
        async with claims.begin(to, PATHS[request.path], _token(request)) as post:
            if refused := await claims.verdict(post):
                return _passed(refused)
            try:
                return await self._take(request, post)
            except errors.ImporterError:
                if answer := _answered(post):
                    return _passed(answer)
                raise

    async def _take(self, request: web.Request, post: Sending) -> web.Response:
        if _CLONE in request.headers:
            raise errors.UnsupportedImage(f"{_CLONE} is for CDI's own clones, not for images")
        claim = await self._claim(_said(request))
        of = await self.service.class_of(claim.spec.storage_class_name)
        wanted = request_of(claim, claim.name, of.name)
        place = claims.ClaimPlace(self.service.there, self.service.config.cdi, claim, post)
        body = await self._body(request)
        await uploaded(self.service, wanted, body, Into("cdi", claims.ACCEPTS, place.telling))
        return text(200)

    async def _claim(self, said: _Said) -> Claim:
        self.service.there.check_namespace(said.namespace)
        found = await self.service.there.get(CLAIMS, said.namespace, said.name)
        claim = view(Claim, found)
        if claim.cdi("contentType") == "archive":
            raise errors.UnsupportedImage(
                f"{claim} takes an archive; upload that to CDI's own upload proxy"
            )
        return claim

    async def _body(self, request: web.Request) -> Body:
        stall = self.service.config.upload.stall
        if "-form" not in request.path:
            return Body(request, request.content, request.content_length, stall)
        body = await file_in_form(request, (_FIELD,), None, stall) if is_form(request) else None
        if body is None:
            raise errors.CallerError(f"the body has to be a form with a field {_FIELD!r}")
        return body


def worded(exc: errors.ImporterError) -> web.Response:
    """Return *exc* as CDI would say it."""
    match exc:
        case errors.OriginRefused():
            return text(exc.status, str(exc))
        case errors.NoSpace():
            return text(400, f"{_SAVING}{_LARGER}{exc}")
        case errors.ImageError() | errors.SourceError() | errors.CallerError() if exc.status < 429:
            return text(400, f"{_SAVING}{exc}")
        case errors.TargetUnavailable() | errors.ClusterUnavailable() | errors.Conflict():
            return text(503, str(exc))
    if exc.status in (429, 503):
        return text(503, str(exc))
    return text(502 if exc.side == "target" else 500, f"error in upload-proxy: {exc}")


def _passed(answer: Answer) -> web.Response:
    """Return the real proxy's answer as ours."""
    if answer.is_page:
        return web.Response(status=answer.status, text=answer.text, content_type="text/html")
    if answer.status == 404 and answer.text:
        return error(404, answer.text.strip())
    return text(answer.status, answer.text)


def _answered(post: Sending) -> Answer | None:
    """Return what CDI said, if it said no."""
    done = post.answer
    if not done.done() or done.cancelled() or done.exception():
        return None
    return done.result() if done.result().status != 200 else None


def _token(request: web.Request) -> dict[str, str]:
    given = request.headers.get("Authorization")
    return {} if given is None else {"Authorization": given}


def _said(request: web.Request) -> _Said:
    """Return what the token says, which CDI has just found right. Raises CallerError."""
    parts = request.headers.get("Authorization", "").split(".")
    try:
        payload = parts[1] + "=" * (-len(parts[1]) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(payload), type=_Said)
    except (IndexError, binascii.Error, ValueError, msgspec.MsgspecError) as exc:
        raise errors.CallerError(f"the token names no claim: {exc}") from exc
