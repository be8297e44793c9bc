"""FakeKubernetes on a real socket: loopback, plain or TLS, kubeconfig included.

Written from the API conventions and from transcripts of a real server (k8s 1.36): the same
statuses, headers and bodies.
"""

import asyncio
import base64
import inspect
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.servers.certificates import Authority
from tests.servers.kubernetes import refusals
from tests.servers.kubernetes.access import ANONYMOUS, Call, User, check
from tests.servers.kubernetes.api import ADMIN, FakeKubernetes
from tests.servers.kubernetes.discovery import discover
from tests.servers.kubernetes.faults import Fault
from tests.servers.kubernetes.patches import merged, patched
from tests.servers.kubernetes.paths import Asked, asked
from tests.servers.kubernetes.refusals import Refused
from tests.servers.kubernetes.resources import Resource
from tests.servers.kubernetes.selectors import selector
from tests.servers.kubernetes.store import Object
from tests.servers.kubernetes.watches import stream

OPEN = ("/version", "/healthz", "/livez", "/readyz")
"""Paths that need no token."""


@dataclass
class _Request:
    """A request that has been understood and let in."""

    http: web.Request
    asked: Asked
    resource: Resource
    user: User
    warnings: list[str] = field(default_factory=list)

    @property
    def query(self) -> Any:
        return self.http.query


class Server:
    """The handlers."""

    def __init__(self, api: FakeKubernetes) -> None:
        self.api = api

    def app(self) -> web.Application:
        """Return the server as an application."""
        app = web.Application(client_max_size=3 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_response_prepare.append(self._headers)
        return app

    async def _headers(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = format_datetime(self.api.store.now(), usegmt=True)
        response.headers["Cache-Control"] = "no-cache, private"

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        try:
            user = self._user(http)
            wanted = asked(http.method, http.rel_url.raw_path, http.query)
            if wanted is None or not wanted.plural:
                return self._other(http, user)
            return await self._resource(http, wanted, user)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status, headers=refused.headers)

    def _user(self, http: web.Request) -> User:
        header = http.headers.get("Authorization")
        if header is None:
            return ANONYMOUS
        user = self.api.users.get(header.removeprefix("Bearer "))
        if user is None and http.path not in OPEN:
            raise refusals.unauthorized()
        return user or ANONYMOUS

    def _other(self, http: web.Request, user: User) -> web.Response:
        if http.path in OPEN or user is not ANONYMOUS:
            found = discover(self.api.store.catalogue, http.path)
            if found is not None:
                return web.json_response(found) if found != "ok" else web.Response(text="ok")
            return _no_such_path()
        text = f'forbidden: User "{user.name}" cannot {http.method.lower()} path "{http.path}"'
        raise Refused(403, "Forbidden", text)

    async def _resource(self, http: web.Request, wanted: Asked, user: User) -> web.StreamResponse:
        known = self.api.store.catalogue.at(wanted.group, wanted.version, wanted.plural)
        resource = known or Resource(wanted.group, wanted.version, wanted.plural, "")
        call = Call(
            wanted.verb,
            wanted.group,
            wanted.plural,
            wanted.subresource,
            wanted.namespace,
            wanted.name,
            user.name,
        )
        self.api.calls.append(call)
        fault = next((fault for fault in self.api.faults if fault.strikes(call)), None)
        if fault and fault.do != "lose":
            return await self._fault(http, fault)
        check(user, call, resource)
        if known is None:
            return _no_such_path()
        response = await self._answer(_Request(http, wanted, resource, user))
        if fault:
            _hang_up(http)
        return response

    async def _fault(self, http: web.Request, fault: Fault) -> web.Response:
        if fault.do == "answer":
            raise refusals.later(fault.status, fault.retry_after, fault.message)
        if fault.do == "hang":
            await asyncio.Event().wait()  # until the client or the server goes
        if fault.do == "close":
            _hang_up(http)
        if fault.do == "end":
            return web.Response(content_type="application/json")
        page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
        return web.Response(text=page, content_type="text/html", status=fault.status or 200)

    async def _answer(self, request: _Request) -> web.StreamResponse:
        match request.asked.verb:
            case "watch":
                return await self._watch(request)
            case "list":
                return web.json_response(self._list(request))
            case "get":
                return _json(request, self._read(request))
            case "create":
                return await self._create(request)
            case "update" | "patch":
                return _json(request, await self._update(request))
            case "delete":
                return web.json_response(await self._delete(request))
            case "deletecollection":
                return web.json_response(self._delete_all(request))
        raise Refused(405, "MethodNotAllowed", "the server does not allow this method")

    def _read(self, request: _Request) -> Object:
        at = request.asked
        return self.api.store.read(request.resource, _space(request), at.name)

    def _list(self, request: _Request) -> Object:
        store, query, resource = self.api.store, request.query, request.resource
        matches = selector(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        found = [one for one in store.all(resource, _space(request)) if matches(one)]
        revision, rest = store.revision, 0
        if token := query.get("continue"):
            revision, after = json.loads(base64.urlsafe_b64decode(token))
            if revision < store.compacted:
                raise refusals.gone("The provided continue parameter is too old")
            found = [one for one in found if _key(one) > after]
        limit = int(query.get("limit", 0))
        meta: Object = {"resourceVersion": str(revision)}
        if limit and len(found) > limit:
            found, rest = found[:limit], len(found) - limit
            going_on = json.dumps([revision, _key(found[-1])]).encode()
            meta["continue"] = base64.urlsafe_b64encode(going_on).decode()
            meta["remainingItemCount"] = rest
        if not resource.custom:  # only custom resources repeat these in every item
            found = [{k: v for k, v in one.items() if k not in _HEAD} for one in found]
        head = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version}
        return {**head, "metadata": meta, "items": found}

    async def _watch(self, request: _Request) -> web.StreamResponse:
        query, resource = request.query, request.resource
        matches = selector(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        return await stream(self.api, request.http, resource, _space(request), matches)

    async def _create(self, request: _Request) -> web.Response:
        new = await self._body(request)
        resource, namespace = request.resource, _space(request)
        if resource.virtual:
            new = {"kind": resource.kind, "apiVersion": resource.api_version, **new}
            answered = self.api.answers[resource.name](request.user, namespace, new)
            done = await answered if inspect.isawaitable(answered) else answered
            # The real upload API answers 200, the reviews 201.
            return web.json_response(done, status=201 if "k8s.io" in resource.group else 200)
        if resource.status:
            new.pop("status", None)
        created = self.api.store.create(
            resource, namespace, new, lambda whole: self._admit("create", resource, whole, None)
        )
        return _json(request, created, 201)

    async def _update(self, request: _Request) -> Object:
        body = await self._body(request)
        at, resource = request.asked, request.resource
        if at.verb == "update" and resource.custom:
            _must_name_version(resource, at.name, body)

        def change(old: Object) -> Object:
            new = self._changed(request, old, body)
            if not at.subresource:
                self._admit("update", resource, new, old)
            return new

        part = "status" if at.subresource == "status" else "main"
        return self.api.store.update(resource, _space(request), at.name, change, part)

    def _changed(self, request: _Request, old: Object, body: Any) -> Object:
        if request.asked.verb == "update":
            return dict(body)
        kind = request.http.content_type
        if kind == "application/json-patch+json":
            return dict(_known(request, patched(old, body)))
        if kind in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
            return dict(merged(old, body))
        raise Refused(
            415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {kind}"
        )

    async def _delete(self, request: _Request) -> Object:
        options = await self._body(request) if request.http.can_read_body else {}
        at, resource = request.asked, request.resource
        old = self._read(request)
        self._admit("delete", resource, old, old)
        gone = self.api.store.delete(resource, _space(request), at.name, options)
        if gone["metadata"].get("deletionTimestamp") or not resource.custom:
            return gone
        details = {**refusals.details(resource, at.name), "uid": gone["metadata"]["uid"]}
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}}
        return {**head, "status": "Success", "details": details}

    def _delete_all(self, request: _Request) -> Object:
        listed = self._list(request)
        for one in listed["items"]:
            self.api.store.delete(request.resource, _space(request), one["metadata"]["name"])
        return listed

    async def _body(self, request: _Request) -> Any:
        try:
            body = json.loads(await request.http.read())
        except ValueError as exc:
            raise refusals.bad_request(
                f"couldn't get version/kind; json parse error: {exc}"
            ) from exc
        return _known(request, body) if isinstance(body, dict) else body

    def _admit(self, verb: str, resource: Resource, new: Object, old: Object | None) -> None:
        for kind, admission in self.api.admissions:
            if kind == resource:
                admission(verb, new, old)


_HEAD = ("kind", "apiVersion")


def _space(request: _Request) -> str:
    return request.asked.namespace if request.resource.namespaced else ""


def _key(found: Object) -> list[str]:
    return [found["metadata"].get("namespace", ""), found["metadata"]["name"]]


def _json(request: _Request, body: Object, status: int = 200) -> web.Response:
    response = web.json_response(body, status=status)
    for warning in request.warnings:
        response.headers.add("Warning", f'299 - "{warning}"')
    return response


def _no_such_path() -> web.Response:
    return web.Response(status=404, text="404 page not found\n")


def _hang_up(http: web.Request) -> None:
    if http.transport:
        http.transport.abort()


def _must_name_version(resource: Resource, name: str, body: Object) -> None:
    if not body.get("metadata", {}).get("resourceVersion"):
        why = "Invalid value: 0: must be specified for an update"
        raise refusals.invalid(resource, name, "metadata.resourceVersion", why)


def _known(request: _Request, body: Object) -> Object:
    """Return *body* without the fields that the schema does not have, warning of each."""
    allowed, spec = request.resource.spec, body.get("spec")
    if allowed is None or not isinstance(spec, dict):
        return body
    unknown = [f'unknown field \\"spec.{name}\\"' for name in spec if name not in allowed]
    if unknown and request.query.get("fieldValidation") == "Strict":
        text = "; ".join(unknown).replace("\\", "")
        raise refusals.bad_request(
            f"{request.resource.kind} in version ... strict decoding error: {text}"
        )
    request.warnings.extend(unknown)
    return {**body, "spec": {name: spec[name] for name in spec if name in allowed}}


@dataclass
class Cluster:
    """A fake that is being served."""

    api: FakeKubernetes
    authority: Authority | None = None
    """Signs the server's certificate; None: no TLS."""

    host: str = "127.0.0.1"
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The server's address."""
        return f"{'https' if self.authority else 'http'}://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen; after a stop on the same port."""
        context = self.authority.server("apiserver", self.host) if self.authority else None
        # A watch ends when its client goes.
        runner = web.AppRunner(
            Server(self.api).app(), handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        await web.TCPSite(runner, self.host, self.port, ssl_context=context).start()
        self._runner, self.port = runner, runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and break every connection."""
        if self._runner:
            for server in self._runner.server.connections if self._runner.server else []:
                if server.transport:
                    server.transport.abort()
            await self._runner.cleanup()
            self._runner = None

    def kubeconfig(self, path: Path, token: str = ADMIN, **more: Any) -> Path:
        """Write a kubeconfig with one context, ``fake``, and return its path.

        *more*: fields of the cluster, as ``{"insecure-skip-tls-verify": True}``.
        """
        cluster: dict[str, Any] = {"server": self.url, **more}
        if self.authority and "insecure-skip-tls-verify" not in more:
            ca = base64.b64encode(self.authority.pem.encode()).decode()
            cluster["certificate-authority-data"] = ca
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": cluster}],
            "users": [{"name": "fake", "user": {"token": token}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        }
        path.write_text(json.dumps(document))  # JSON is YAML
        return path


@asynccontextmanager
async def serving(
    api: FakeKubernetes, authority: Authority | None = None
) -> AsyncIterator[Cluster]:
    """Serve *api* until the block ends, with TLS when *authority* signs its certificate."""
    cluster = Cluster(api, authority)
    await cluster.start()
    try:
        yield cluster
    finally:
        await cluster.stop()
