"""CDI's upload proxy: what a client outside talks to (facts, A1 and A2).

The hop to the upload server is a call, not a second connection: its own TLS is tried with the
server alone.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.servers.cdi import token
from tests.servers.cdi.upload_server import PATHS, Panicked, PodGone, UploadServer
from tests.servers.clock import Clock
from tests.servers.listening import CONTINUED, application, empty, no_continue, not_found, plain
from tests.servers.page import Page

BEARER = re.compile(r"(?i)^Bearer\s+([A-Za-z0-9\-\._~\+\/]+)$")
"""uploadproxy.go:95."""

CDI = "cdi.kubevirt.io/storage"
TARGET = f"{CDI}.upload.target"
POD_PHASE = f"{CDI}.pod.phase"
POD_READY = f"{CDI}.pod.ready"
CONTENT_TYPE = f"{CDI}.contentType"
PRIME = f"{CDI}.populator.pvcPrime"

Object = dict[str, Any]
Key = tuple[str, str]


Annotations = Mapping[str, str]


def annotations(claim: Object) -> Annotations:
    """Return a claim's annotations."""
    found: Annotations = claim["metadata"].get("annotations") or {}
    return found


class Rejected(Exception):
    """The claim takes no upload; the message says why."""


@dataclass
class UploadProxy:
    """Checks tokens, waits for claims, passes uploads on. Its faults are fields."""

    claims: Mapping[Key, Object] = field(default_factory=dict)
    """Every claim by namespace and name, as the API has it."""

    servers: Mapping[Key, UploadServer] = field(default_factory=dict)
    """Upload servers by the claim that they write, which may be a prime one."""

    clock: Clock = field(default_factory=Clock)
    skew: float = 0.0
    """Seconds by which this pod's clock is ahead of the one that dates tokens."""

    ready_limit: float = 10.0
    """Seconds that the proxy waits for a claim (uploadproxy.go:43-44)."""

    poll: float = 1.0
    pages: list[Page] = field(default_factory=list)
    """What an ingress in front answers to the next uploads, in the proxy's stead."""

    unauthorized: int = 0
    """How many more tokens are found expired, whatever they say."""

    requests: list[str] = field(default_factory=list)
    """Method, path and status of every request that was answered."""

    token_ages: list[float] = field(default_factory=list)
    """Seconds since its issue of each token that was taken."""

    def app(self) -> web.Application:
        """Return it as an application."""
        app = application()
        app.middlewares.append(self._noted)
        app.router.add_get("/healthz", self._healthz, allow_head=False)
        for path in PATHS:
            app.router.add_route("*", path, self._serve, expect_handler=no_continue)
        app.router.add_route("*", "/{rest:.*}", not_found, expect_handler=no_continue)
        return app

    @web.middleware
    async def _noted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Add what CORS adds to an answer, and note it.

        When the body was asked for with ``100 Continue``, these headers went out with that, and
        are missing from the answer (transcript ``cdi-proxy-upload``).
        """
        response: web.StreamResponse = await handler(request)
        page = "text/html" in response.headers.get("Content-Type", "")
        if not page and not request.get(CONTINUED):
            response.headers.add("Vary", "Origin")
            if "Origin" in request.headers and response.status != 404:
                response.headers["Access-Control-Allow-Origin"] = "*"
        self.requests.append(f"{request.method} {request.path} {response.status}")
        return response

    async def _healthz(self, request: web.Request) -> web.Response:
        return plain(200, "OK")

    async def _serve(self, request: web.Request) -> web.Response:
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return _preflight(request)
        if request.method == "POST" and self.pages:
            return await self.pages.pop(0).answer(request, self._answer)
        if request.method == "OPTIONS":
            return empty(400)
        return await self._answer(request)

    async def _answer(self, request: web.Request) -> web.Response:
        """Do what uploadproxy.go:184-325 does, in its order."""
        found = BEARER.match(request.headers.get("Authorization", ""))
        if not found:
            return _closing(empty(400))
        try:
            said = self._verified(found[1])
        except token.BadToken:
            return _closing(empty(401))
        if said.get("operation") != "Upload" or not _names_a_claim(said):
            return _closing(empty(400))
        try:
            key = await self._ready((said["namespace"], said["name"]))
        except Rejected as exc:
            return _closing(plain(503, html.escape(str(exc)).replace("&#x27;", "&#39;")))
        return await self._forward(request, key)

    def _verified(self, text: str) -> dict[str, Any]:
        if self.unauthorized:
            self.unauthorized -= 1
            raise token.BadToken("expired")
        now = self.clock.now() + self.skew
        said = token.verify(text, now)
        self.token_ages.append(now - said["iat"])
        return said

    async def _ready(self, key: Key) -> Key:
        """Return the claim to write once its server is ready (uploadproxy.go:261-295)."""
        last = self.clock.now() + self.ready_limit
        while True:
            written = self._written(key)
            if written and self._uploadable(key, written).get(POD_READY) == "true":
                return written
            if self.clock.now() + self.poll > last:
                limit = "client rate limiter Wait returned an error: context deadline exceeded"
                if last > self.clock.now():
                    await self.clock.sleep(last - self.clock.now())
                raise Rejected(limit)
            await self.clock.sleep(self.poll)

    def _written(self, key: Key) -> Key | None:
        """Return the claim that the bytes go to: the prime one where a populator is at work.

        None: the prime one is not named yet, or, after the upload's success, no more. Then the
        proxy waits until its time is up (getPopulationPVC).
        """
        claim = self.claims.get(key)
        if claim is None:
            raise Rejected(f"rejecting Upload Request for PVC {key[1]} that doesn't exist")
        source = claim.get("spec", {}).get("dataSourceRef") or {}
        if source.get("kind") != "VolumeUploadSource":
            return key
        prime = annotations(claim).get(PRIME)
        if prime and (key[0], prime) not in self.claims:
            missing = f"rejecting Upload Request for PVC {key[1]}, PVC' wasn't created yet"
            raise Rejected(missing)
        return (key[0], prime) if prime else None

    def _uploadable(self, key: Key, written: Key) -> Annotations:
        told = annotations(self.claims[written])
        if TARGET not in told:
            raise Rejected(f"PVC {written[1]} is not an upload target")
        if told.get(POD_PHASE) == "Succeeded":
            done = f"rejecting Upload Request for PVC {key[1]} that already finished uploading"
            raise Rejected(done)
        content = told.get(CONTENT_TYPE, "kubevirt")
        if content not in ("kubevirt", "archive"):
            what = f"upload content-type {content} is invalid"
            raise Rejected(f"rejecting upload request for PVC {written[1]} - {what}")
        return told

    async def _forward(self, request: web.Request, key: Key) -> web.Response:
        server = self.servers.get(key)
        if server is None or not server.alive:
            return _closing(_broken("dial tcp 127.0.0.2:8443: connect: connection refused"))
        try:
            return await server.handle(request)
        except Panicked:
            return _closing(_broken("stream error: stream ID 1; INTERNAL_ERROR"))
        except PodGone:
            why = "read tcp 127.0.0.1:40000->127.0.0.2:8443: read: connection reset by peer"
            return _closing(_broken(why))


def _broken(why: str) -> web.Response:
    return plain(502, f"error in upload-proxy: http: proxy error: {why}\n")


def _names_a_claim(said: Mapping[str, Any]) -> bool:
    named = said.get("name") and said.get("namespace")
    return bool(named) and said.get("resource", {}).get("resource") == "persistentvolumeclaims"


def _preflight(request: web.Request) -> web.Response:
    response = empty()
    asked = request.headers.get("Access-Control-Request-Headers", "")
    names = [name.strip().title() for name in asked.split(",") if name.strip()]
    response.headers["Access-Control-Allow-Headers"] = ", ".join(names)
    response.headers["Access-Control-Allow-Methods"] = request.headers[
        "Access-Control-Request-Method"
    ]
    for name in ("Method", "Headers"):
        response.headers.add("Vary", f"Access-Control-Request-{name}")
    return response


def _closing(response: web.Response) -> web.Response:
    """Close the connection after it: Go does when much of a body was not read."""
    response.force_close()
    return response
