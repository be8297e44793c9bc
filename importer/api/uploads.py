"""Resumable uploads: tus 1.0.0 below ``/v1/uploads``, its bytes passing into running imports.

The newest request has an upload: an older one that still holds it is sent away with 409, since a
lost connection may look alive for minutes.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal, NoReturn

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from importer import errors
from importer.api import tus
from importer.api.images import UPLOAD_ERRORS
from importer.api.routes import Route, read_query
from importer.api.taking import Taking
from importer.jobs.uploads import Asked, Upload, Uploads
from importer.sources.upload import Flow, go_ahead

_HEADERS = {"Tus-Resumable": Literal["1.0.0"]}
_SPOKEN = (errors.VersionRefused, errors.NotFound)
_TAKEN = (
    *UPLOAD_ERRORS,
    errors.Conflict,
    errors.MediaTypeRefused,
    errors.NotFound,
    errors.SizeMismatch,
    errors.VersionRefused,
)


class UploadRoutes:
    """The handlers."""

    def __init__(self, uploads: Uploads, taking: Taking, most: int) -> None:
        self._uploads = uploads
        self._taking = taking
        self._most = most

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        base, one, part = "/v1/uploads", "/v1/uploads/{id}", (tus.MEDIA,)
        return [
            Route("OPTIONS", base, self.options, {204: None}),
            Route("POST", base, self.create, {201: None}, _TAKEN, part, headers=_HEADERS),
            Route(
                "HEAD", one, self.head, {200: None}, (*_SPOKEN, errors.Conflict), headers=_HEADERS
            ),
            Route("PATCH", one, self.patch, {204: None}, _TAKEN, part, headers=_HEADERS),
            Route(
                "DELETE",
                one,
                self.delete,
                {204: None},
                (*_SPOKEN, errors.Conflict, errors.TargetError),
                headers=_HEADERS,
            ),
            Route("POST", one, self.post, {200: None, 204: None}, _TAKEN, part, headers=_HEADERS),
            Route("*", base, self.any, {}, described=False),
            Route("*", one, self.any, {}, described=False),
        ]

    async def options(self, request: web.Request) -> web.Response:
        """Tell which version and extensions of tus are spoken."""
        return await self._as_meant(request)

    async def create(self, request: web.Request) -> web.Response:
        """Begin a resumable upload; the image is made when it is new. It may bring first bytes."""
        return await self._as_meant(request)

    async def head(self, request: web.Request) -> web.Response:
        """Tell how many bytes of an upload have been taken."""
        return await self._as_meant(request)

    async def patch(self, request: web.Request) -> web.Response:
        """Take the next bytes of an upload."""
        return await self._as_meant(request)

    async def delete(self, request: web.Request) -> web.Response:
        """End an upload and leave nothing of an image that is not whole yet."""
        return await self._as_meant(request)

    async def post(self, request: web.Request) -> web.Response:
        """Do what X-HTTP-Method-Override says: HEAD, PATCH or DELETE."""
        return await self._as_meant(request)

    async def any(self, request: web.Request) -> web.Response:
        """Do the same, by whatever method it is asked for."""
        return await self._as_meant(request)

    async def _as_meant(self, request: web.Request) -> web.Response:
        """Act by the method that the client means, whatever it had to use to get through."""
        meant = request.headers.get("X-HTTP-Method-Override", request.method).upper()
        if meant == "OPTIONS":
            return self._speaks()
        one = request.match_info.get("id")
        acts: dict[str, Any] = {"HEAD": self._tell, "PATCH": self._take, "DELETE": self._end}
        if meant not in acts if one else meant != "POST":
            _refuse_method(request, [*acts, "POST"] if one else ["POST", "OPTIONS"])
        tus.refuse_other_version(request)
        read_query(request, {})
        if one is None:
            return await self._create(request)
        upload = self._uploads.find(one)
        request[tus.EXPIRES] = upload.expires_in
        response: web.Response = await acts[meant](request, upload)
        return response

    def _speaks(self) -> web.Response:
        headers = {
            "Tus-Version": tus.VERSION,
            "Tus-Extension": tus.EXTENSIONS,
            "Tus-Max-Size": str(self._most),
        }
        return web.Response(status=204, headers=headers)

    async def _create(self, request: web.Request) -> web.Response:
        tus.refuse_not_offered(request)
        size = tus.length(request.headers, self._most)
        told = request.headers.get("Upload-Metadata", "")
        metadata = tus.metadata(told)
        asked = Asked(metadata.wanted(), size, told, metadata.declared())
        brings = request.content_length != 0 and request.body_exists
        if brings:
            tus.refuse_other_media(request)
        if size == 0:
            raise errors.NotAnImage("the file is empty")
        self._refuse_excess(request, size, 0)
        upload = await self._uploads.create(asked, self._taking.client(request))
        request[tus.EXPIRES] = upload.expires_in
        if brings:
            async with upload.turn():
                await self._receive(request, upload)
        headers = {"Location": f"uploads/{upload.id}", **_stands(upload)}
        return web.Response(status=201, headers=headers)

    async def _tell(self, _: web.Request, upload: Upload) -> web.Response:
        async with upload.turn():
            headers = _stands(upload)
        if upload.source.size is None:
            headers["Upload-Defer-Length"] = "1"
        else:
            headers["Upload-Length"] = str(upload.source.size)
        if metadata := upload.asked.metadata:
            headers["Upload-Metadata"] = metadata
        return web.Response(headers=headers)

    async def _take(self, request: web.Request, upload: Upload) -> web.Response:
        tus.refuse_other_media(request)
        tus.refuse_not_offered(request)
        offset = tus.number(request.headers, "Upload-Offset")
        if offset is None:
            raise errors.CallerError("Upload-Offset is missing: say where these bytes begin")
        size = tus.within(tus.number(request.headers, "Upload-Length"), self._most)
        async with upload.turn():
            upload.refuse_failed()
            if offset != upload.source.offset:
                raise errors.Conflict(
                    f"Upload-Offset is {offset}, the upload stands at {upload.source.offset}"
                )
            self._refuse_excess(request, upload.source.size if size is None else size, offset)
            if size is not None:
                await self._uploads.tell_size(upload, size)
            await self._receive(request, upload)
            return web.Response(status=204, headers=_stands(upload))

    async def _end(self, _: web.Request, upload: Upload) -> web.Response:
        async with upload.turn():
            await self._uploads.end(upload)
        return web.Response(status=204)

    async def _receive(self, request: web.Request, upload: Upload) -> None:
        await go_ahead(request)
        at = upload.source.offset
        flow = self._taking.flow(upload.share, at)
        async with aclosing(_parts(request, flow)) as parts:
            async for data in parts:
                for piece in flow.pieces(data):
                    await upload.give(piece, at)
                    at += len(piece)
                    await flow.passed(len(piece))

    def _refuse_excess(self, request: web.Request, size: int | None, offset: int) -> None:
        """Raise SizeMismatch, LimitExceeded when the body goes past the upload's end."""
        end = offset + (request.content_length or 0)
        if size is not None and end > size:
            raise errors.SizeMismatch(size, end)
        tus.within(end, self._most)


def _refuse_method(request: web.Request, allowed: list[str]) -> NoReturn:
    if request.method not in allowed:
        raise web.HTTPMethodNotAllowed(request.method, allowed)
    raise errors.CallerError(
        f"X-HTTP-Method-Override is {request.headers.get('X-HTTP-Method-Override')!r:.40}: at "
        f"{request.path} it can be one of {', '.join(allowed)}"
    )


def _stands(upload: Upload) -> dict[str, str]:
    return {"Upload-Offset": str(upload.source.offset)}


async def _parts(request: web.Request, flow: Flow) -> AsyncGenerator[bytes, None]:
    """Yield the body as it comes. Raises UploadIncomplete when it breaks off or stalls."""
    try:
        while True:
            flow.waits()
            async with asyncio.timeout(flow.stall):
                data = await request.content.readany()
            if not data:
                return
            flow.came(len(data))
            yield data
    except TimeoutError as exc:
        told = f"nothing came for {flow.stall:g} s; go on with HEAD"
        raise errors.UploadIncomplete(told) from exc
    except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as exc:
        raise errors.UploadIncomplete("the connection broke; go on with HEAD") from exc
