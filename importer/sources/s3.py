"""Files in buckets: boto3 signs each request, and the bytes then travel as those of any URL.

Credentials: the import's own keys; none for a public bucket (``anonymous``); else the service's
own, from boto3's chain. The service's own are used only for ``[s3] buckets``, and go only to the
endpoint that the configuration chose or to one of ``[s3] endpoints``: whoever may import images
must not read all that the service may read, nor have its keys used elsewhere.
Each request has a signature of its own (a presigned URL that holds for EXPIRES seconds), so an
import may take as long as it takes.
Raises CallerError, AddressRefused, SourceError.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from yarl import URL

from importer.config import S3
from importer.errors import AddressRefused, CallerError, ImporterError, SourceError
from importer.model import S3Source
from importer.sources.origin import Request, same_server
from importer.sources.proxy import Proxies
from importer.sources.secrets import parse, shown
from importer.stream.threads import in_thread

EXPIRES = 900
"""Seconds for which one request's signature holds; it is used at once."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]\Z")
_KEY = 1024  # bytes, by S3's own limit
_DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Item:
    """One file in a bucket."""

    bucket: str
    key: str
    version: str | None = None

    def __str__(self) -> str:
        version = f"?versionId={self.version}" if self.version else ""
        return f"s3://{self.bucket}/{self.key}{version}"


def item(url: str) -> Item:
    """Return what ``s3://bucket/key[?versionId=...]`` names, the key as it is (not quoted).

    Raises CallerError.
    """
    if not url.startswith("s3://"):
        raise CallerError("a bucket's URL is s3://BUCKET/KEY or s3://BUCKET/KEY?versionId=VERSION")
    path, _, version = url.removeprefix("s3://").partition("?versionId=")
    bucket, _, key = path.partition("/")
    if not _BUCKET.match(bucket) or ".." in bucket:
        raise CallerError(f"{bucket[:80]!r} is no name of a bucket")
    if not key or len(key.encode()) > _KEY or not (key + version).isprintable():
        raise CallerError(f"s3://{bucket}/ needs a key of 1 to {_KEY} printable bytes after it")
    if any(part in (".", "..") for part in key.split("/")):
        raise CallerError(f"s3://{bucket}/{key}: servers read . and .. as another key")
    return Item(bucket, key, version or None)


class Buckets:
    """All buckets: one loader of boto3's models, one set of rules."""

    def __init__(self, settings: S3, proxies: Proxies) -> None:
        self._settings = _checked(settings)
        self._proxies = proxies
        self._session: Any = None
        self._one = asyncio.Lock()

    async def origin(self, source: S3Source, trust: ssl.SSLContext | None) -> "S3Origin":
        """Return the file that *source* names, ready to be asked for.

        Raises CallerError, AddressRefused, SourceError (no credentials).
        """
        wanted = check(source, self._settings)
        async with self._one:  # boto3's sessions are not safe in two threads
            client = await in_thread(self._client, source)
        origin = S3Origin(wanted, client, _who(source), trust, self._proxies)
        await origin.prepare()
        return origin

    def _client(self, source: S3Source) -> Any:
        # 45 MiB that a service without buckets does without.
        import boto3
        from botocore.exceptions import BotoCoreError

        self._session = self._session or boto3.session.Session()
        region = source.region or self._settings.region or self._session.region_name
        try:
            return self._session.client(
                "s3",
                region_name=region or _DEFAULT_REGION,
                endpoint_url=source.endpoint or self._settings.endpoint or None,
                aws_access_key_id=source.access_key_id,
                aws_secret_access_key=source.secret_access_key,
                aws_session_token=source.session_token,
                config=_options(source, self._settings),
            )
        except (BotoCoreError, ValueError) as exc:
            raise CallerError(f"{source.url}: {exc}") from exc


class S3Origin:
    """A file in a bucket, by the address that its endpoint gives it."""

    def __init__(
        self,
        wanted: Item,
        client: Any,
        who: str,
        trust: ssl.SSLContext | None,
        proxies: Proxies,
    ) -> None:
        self._item = wanted
        self._client = client
        self._who = who
        self._trust = trust
        self._proxies = proxies
        self.url = URL()
        """Without a signature."""

    async def prepare(self) -> None:
        """Find the address. Raises SourceError when there is nothing to sign with."""
        self.url = (await self._signed()).with_query(None)
        parse(str(self.url))

    async def request(self, at: URL, headers: Mapping[str, str]) -> Request:
        """Return a request with a fresh signature. Raises SourceError for any other address."""
        if at != self.url:
            raise SourceError(
                f"{self._item}: the endpoint redirects to {shown(str(at))}, where its signature "
                "is worth nothing; give that endpoint, or its region"
            )
        return Request(await self._signed(), headers, self._trust, self._proxies.of(at))

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ImporterError | None:
        """Return what the endpoint's own words mean. None: what its status says."""
        code = _field(body, "Code") or {404: "NotFound", 403: "AccessDenied"}.get(status, "")
        region = headers.get("x-amz-bucket-region") or _field(body, "Region")
        if code in _ELSEWHERE or status == 301:
            where = f"is in region {region}" if region else "is in another region"
            asked = self._client.meta.region_name
            return SourceError(
                f"{self._item} {where}, it was asked for in {asked}; name its region"
            )
        text = _MEANINGS.get(code)
        return SourceError(f"{self._item}: {text.format(who=self._who)} ({code})") if text else None

    async def _signed(self) -> URL:
        return await in_thread(self._presign)

    def _presign(self) -> URL:
        from botocore.exceptions import BotoCoreError

        wanted = {"Bucket": self._item.bucket, "Key": self._item.key}
        if self._item.version:
            wanted["VersionId"] = self._item.version
        try:
            url = self._client.generate_presigned_url("get_object", wanted, ExpiresIn=EXPIRES)
        except BotoCoreError as exc:
            raise SourceError(
                f"{self._item}: {self._who} cannot sign: {exc}; give keys, or `anonymous` for a "
                "public bucket"
            ) from exc
        return URL(url, encoded=True)


def check(source: S3Source, settings: S3) -> Item:
    """Return what *source* names, if it may be asked for. Raises CallerError, AddressRefused."""
    wanted = item(source.url)
    if source.endpoint:
        _endpoint(source.endpoint)
    keys = (source.access_key_id, source.secret_access_key)
    if any(keys) is not all(keys) or (source.session_token and not all(keys)):
        raise CallerError("an access key ID needs its secret key, and a session token needs both")
    if source.anonymous and any(keys):
        raise CallerError("give keys or `anonymous`, not both")
    if not source.anonymous and not any(keys):
        _check_ambient(wanted, source.endpoint, settings)
    return wanted


def _check_ambient(wanted: Item, endpoint: str | None, settings: S3) -> None:
    """Raise AddressRefused unless the service's own credentials may be used."""
    hint = "give keys for the import, or `anonymous` for a public bucket"
    if not any(fnmatchcase(wanted.bucket, pattern) for pattern in settings.buckets):
        raise AddressRefused(
            f"bucket {wanted.bucket} is not among [s3] buckets, which the service's own "
            f"credentials are for; {hint}"
        )
    if endpoint is None:
        return
    named = [_endpoint(each) for each in (*settings.endpoints, settings.endpoint) if each]
    if not any(same_server(_endpoint(endpoint), each) for each in named):
        raise AddressRefused(
            f"endpoint {shown(endpoint)} is not among [s3] endpoints, which the service's own "
            f"credentials are for; {hint}"
        )


def _checked(settings: S3) -> S3:
    if settings.style not in ("auto", "path", "virtual"):
        raise CallerError(f"[s3] style: {settings.style!r} is not auto, path or virtual")
    for each in (*settings.endpoints, settings.endpoint):
        if each:
            _endpoint(each)
    return replace(settings)


def _endpoint(text: str) -> URL:
    url = parse(text)
    if url.path not in ("", "/") or url.query_string or url.user or url.password:
        raise CallerError(f"endpoint {shown(text)}: only http(s)://HOST[:PORT] is possible")
    return url


def _options(source: S3Source, settings: S3) -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config

    style = source.style or settings.style
    at_aws = not (source.endpoint or settings.endpoint)
    # boto3's own "auto" presigns for AWS's global host, which answers 307 for new buckets.
    style = "virtual" if style == "auto" and at_aws else style
    signature = UNSIGNED if source.anonymous else "s3v4"
    return Config(signature_version=signature, s3={"addressing_style": style})


def _who(source: S3Source) -> str:
    if source.anonymous:
        return "nobody (anonymous)"
    return "the import's key" if source.access_key_id else "the service's own key"


def _field(body: bytes, name: str) -> str:
    found = re.search(rf"<{name}>([A-Za-z0-9._-]{{1,100}})</{name}>".encode(), body)
    return found[1].decode() if found else ""


_ELSEWHERE = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "PermanentRedirect",
        "TemporaryRedirect",
        "IllegalLocationConstraintException",
    }
)

_MEANINGS: Mapping[str, str] = {
    "NoSuchKey": "there is no such key",
    "NotFound": "there is no such key or bucket",
    "NoSuchBucket": "there is no such bucket",
    "NoSuchVersion": "there is no such version",
    "MethodNotAllowed": "this version is a delete marker, it has no content",
    "AccessDenied": "{who} may not read it",
    "AllAccessDisabled": "{who} may not read it",
    "InvalidAccessKeyId": "the endpoint does not know {who}",
    "SignatureDoesNotMatch": "the secret of {who} is wrong",
    "ExpiredToken": "the session of {who} is over",
    "InvalidToken": "the session token of {who} is wrong",
    "RequestTimeTooSkewed": "this machine's clock is too far from the endpoint's",
    "InvalidObjectState": "it is archived; restore it first",
}
