"""Buckets: boto3 signs, the bytes travel as a URL's do, and the service's keys stay its own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from yarl import URL

from importer.config import S3, Config, apply
from importer.errors import AddressRefused, CallerError, SourceChanged, SourceError
from importer.model import S3Source
from importer.sources.http import Web
from importer.sources.origins import Origins, OriginSource
from importer.sources.proxy import Proxies
from importer.sources.s3 import Buckets, check, item
from importer.units import MiB
from tests.servers.moto import Moto, moto_server

CONTENT = os.urandom(13 * MiB + 7)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def moto() -> AsyncIterator[Moto]:
    async with moto_server() as server:
        await asyncio.to_thread(server.client.create_bucket, Bucket="images")
        await server.put("images", "debian 12/é+.raw", CONTENT)
        yield server


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own settings is found."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


def config(**s3: object) -> Config:
    return apply(Config(), {"url": {"allow_addresses": ["127.0.0.0/8"]}, "s3": s3})


def source(moto: Moto, key: str = "debian 12/é+.raw", **options: object) -> S3Source:
    given = {
        "url": f"s3://images/{key}",
        "endpoint": moto.endpoint,
        "access_key_id": "id",
        "secret_access_key": "secret",
    }
    return S3Source(**{**given, **options})  # type: ignore[arg-type]


async def read(wanted: S3Source, settings: Config) -> bytes:
    """Return all of the file, over as many ranges as it takes."""
    servers, origins = Web(settings.url), Origins(settings)
    file = OriginSource(wanted, origins, servers.source)
    try:
        opened = await file.open()
        return b"".join([chunk async for chunk in opened.chunks])
    finally:
        await file.close()
        await servers.close()


async def test_a_file_arrives_over_ranges(moto: Moto) -> None:
    """Every range is signed anew, whatever characters the key has."""
    assert await read(source(moto), config()) == CONTENT


async def test_each_request_has_a_signature_of_its_own(moto: Moto) -> None:
    """Signed for the path, now, with the session token; the address itself holds no secret."""
    buckets = Buckets(S3(), Proxies(Config().url))
    wanted = source(moto, session_token="token")
    origin = await buckets.origin(wanted, None)
    assert str(origin.url) == f"{moto.endpoint}/images/debian%2012/%C3%A9%2B.raw"
    request = await origin.request(origin.url, {"Range": "bytes=0-1"})
    assert request.url.with_query(None) == origin.url
    assert request.url.query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert request.url.query["X-Amz-Security-Token"] == "token"
    assert request.headers == {"Range": "bytes=0-1"}


async def test_another_address_gets_no_signature(moto: Moto) -> None:
    """Where an endpoint redirects to, no request is signed for."""
    origin = await Buckets(S3(), Proxies(Config().url)).origin(source(moto), None)
    with pytest.raises(SourceError, match=r"redirects to http://evil\.example/x"):
        await origin.request(URL("http://evil.example/x"), {})


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({"region": "eu-west-1"}, "https://images.s3.eu-west-1.amazonaws.com/k"),
        (
            {"region": "eu-west-1", "style": "path"},
            "https://s3.eu-west-1.amazonaws.com/images/k",
        ),
        ({}, "https://images.s3.amazonaws.com/k"),
        ({"endpoint": "http://minio.example:9000"}, "http://minio.example:9000/images/k"),
        (
            {"endpoint": "https://minio.example", "style": "virtual"},
            "https://images.minio.example/k",
        ),
    ],
)
async def test_region_endpoint_and_style_make_the_address(
    options: dict[str, str], address: str
) -> None:
    """As boto3 has it; nothing is connected to for that."""
    wanted = S3Source(url="s3://images/k", anonymous=True, **options)  # type: ignore[arg-type]
    origin = await Buckets(S3(), Proxies(Config().url)).origin(wanted, None)
    assert str(origin.url) == address
    assert (await origin.request(origin.url, {})).url == origin.url


@pytest.mark.parametrize(
    ("url", "bucket", "key", "version"),
    [
        ("s3://images/a/b c.raw", "images", "a/b c.raw", None),
        ("s3://images/a%20b", "images", "a%20b", None),
        ("s3://images/what?", "images", "what?", None),
        ("s3://images/k?versionId=3/L4kq", "images", "k", "3/L4kq"),
        ("s3://my.images/k", "my.images", "k", None),
    ],
)
def test_a_url_names_bucket_key_and_version(
    url: str, bucket: str, key: str, version: str | None
) -> None:
    """The key is what it is, as for the AWS command line: nothing in it is decoded."""
    found = item(url)
    assert (found.bucket, found.key, found.version) == (bucket, key, version)
    assert str(found) == url


@pytest.mark.parametrize(
    "url",
    [
        "s3://images",
        "s3://images/",
        "s3:///key",
        "s3://im/k",
        "s3://evil.example:80/k",
        "s3://user@images/k",
        "s3://a..b/k",
        "s3://images/../other/key",
        "s3://images/a/./b",
        "s3://images/a\nb",
        "s3://images/" + "k" * 1025,
        "https://images/k",
    ],
)
def test_a_url_that_leads_elsewhere_is_refused(url: str) -> None:
    """No bucket can name a host, and no key another bucket."""
    with pytest.raises(CallerError):
        item(url)


@pytest.mark.parametrize(
    "options",
    [
        {"access_key_id": "id"},
        {"secret_access_key": "secret"},
        {"session_token": "token"},
        {"anonymous": True, "access_key_id": "id", "secret_access_key": "secret"},
        {"anonymous": True, "endpoint": "ftp://minio.example"},
        {"anonymous": True, "endpoint": "http://minio.example/path"},
        {"anonymous": True, "endpoint": "http://u:p@minio.example"},
        {"anonymous": True, "endpoint": "http://127.1"},
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object]) -> None:
    """Half a key, keys for nobody, endpoints that are none: said before anything is asked."""
    with pytest.raises(CallerError):
        check(S3Source(url="s3://images/k", **options), S3())  # type: ignore[arg-type]


ALLOWED = {"buckets": ["images", "iso-*"], "endpoints": ["http://minio.example:9000"]}


@pytest.mark.parametrize(
    ("url", "endpoint", "settings", "allowed"),
    [
        ("s3://images/k", None, ALLOWED, True),
        ("s3://iso-debian/k", None, ALLOWED, True),
        ("s3://images/k", "http://minio.example:9000/", ALLOWED, True),
        ("s3://images/k", "http://c.example", {**ALLOWED, "endpoint": "http://c.example"}, True),
        ("s3://secrets/k", None, ALLOWED, False),
        ("s3://images2/k", None, ALLOWED, False),
        ("s3://images/k", None, {}, False),
        ("s3://images/k", "http://minio.example:9001", ALLOWED, False),
        ("s3://images/k", "https://minio.example:9000", ALLOWED, False),
        ("s3://images/k", "http://evil.example:9000", ALLOWED, False),
        ("s3://images/k", "http://minio.example.evil.example:9000", ALLOWED, False),
    ],
)
def test_the_services_own_keys_are_for_what_was_named(
    url: str, endpoint: str | None, settings: dict[str, object], *, allowed: bool
) -> None:
    """Only for buckets of the configuration, and only at its endpoints; others need own keys."""
    wanted = S3Source(url=url, endpoint=endpoint)
    rules = config(**settings).s3
    if allowed:
        check(wanted, rules)
    else:
        with pytest.raises(AddressRefused, match="give keys"):
            check(wanted, rules)
    check(S3Source(url=url, endpoint=endpoint, anonymous=True), rules)


async def test_the_services_own_keys_are_found_by_boto3(
    moto: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the environment here, as anywhere in its chain; without any the error says so."""
    settings = config(buckets=["images"], endpoints=[moto.endpoint])
    wanted = source(moto, access_key_id=None, secret_access_key=None)
    with pytest.raises(SourceError, match="own key cannot sign: Unable to locate credentials"):
        await read(wanted, settings)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert await read(wanted, settings) == CONTENT


async def test_a_version_is_read_when_another_is_newer(moto: Moto) -> None:
    """versionId names what the bucket had then."""
    client = moto.client
    await asyncio.to_thread(client.create_bucket, Bucket="versions")
    await asyncio.to_thread(
        client.put_bucket_versioning,
        Bucket="versions",
        VersioningConfiguration={"Status": "Enabled"},
    )
    old = await moto.put("versions", "k", b"old")
    await moto.put("versions", "k", b"new")
    keys = {"access_key_id": "id", "secret_access_key": "secret"}
    wanted = S3Source(url=f"s3://versions/k?versionId={old}", endpoint=moto.endpoint, **keys)
    assert await read(wanted, config()) == b"old"
    assert (
        await read(S3Source(url="s3://versions/k", endpoint=moto.endpoint, **keys), config())
        == b"new"
    )


async def test_a_file_that_changes_while_it_is_read_is_no_mixture(moto: Moto) -> None:
    """The ETag is the validator: bytes of two versions never become one file."""
    await moto.put("images", "changing", CONTENT)
    settings = apply(config(), {"url": {"connections": 1}})
    servers, origins = Web(settings.url), Origins(settings)
    file = OriginSource(source(moto, "changing"), origins, servers.source)
    try:
        opened = await file.open()
        await anext(opened.chunks)
        await moto.put("images", "changing", CONTENT[::-1])
        with pytest.raises(SourceChanged, match="ETag"):
            async for _ in opened.chunks:
                pass
    finally:
        await file.close()
        await servers.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://images/missing", r"s3://images/missing: there is no such key \(NoSuchKey\)"),
        ("s3://nowhere/k", r"there is no such bucket \(NoSuchBucket\)"),
        ("s3://images/debian 12/é+.raw?versionId=none", "there is no such version|NoSuchVersion"),
    ],
)
async def test_what_is_not_there_is_named(moto: Moto, url: str, message: str) -> None:
    """Key, bucket and version each have their own message."""
    with pytest.raises(SourceError, match=message):
        await read(source(moto, url=url), config())


def said(code: str, more: str = "") -> bytes:
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f"{head}<Error><Code>{code}</Code><Message>No.</Message>{more}</Error>".encode()


@pytest.mark.parametrize(
    ("status", "body", "headers", "message"),
    [
        (403, said("AccessDenied"), {}, "the import's key may not read it"),
        (403, b"", {}, "the import's key may not read it"),
        (403, said("InvalidAccessKeyId"), {}, "does not know the import's key"),
        (403, said("SignatureDoesNotMatch"), {}, "the secret of the import's key is wrong"),
        (400, said("ExpiredToken"), {}, "session of the import's key is over"),
        (403, said("RequestTimeTooSkewed"), {}, "clock"),
        (403, said("InvalidObjectState"), {}, "archived"),
        (
            400,
            said("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
            {},
            "is in region eu-west-1, it was asked for in us-east-1",
        ),
        (301, said("PermanentRedirect"), {"x-amz-bucket-region": "eu-west-1"}, "region eu-west-1"),
    ],
)
async def test_what_the_endpoint_refuses_is_said_in_its_words(
    status: int, body: bytes, headers: dict[str, str], message: str
) -> None:
    """Credentials, rights and regions: each answer of AWS has its meaning, and is not retryable."""
    async with AnswerServer(status, body, headers) as endpoint:
        wanted = S3Source(
            url="s3://images/k", endpoint=endpoint, access_key_id="id", secret_access_key="SECRET"
        )
        with pytest.raises(SourceError, match=message) as caught:
            await read(wanted, config())
    assert str(caught.value).startswith("s3://images/k")
    assert "SECRET" not in str(caught.value)
    assert not caught.value.retryable


async def test_an_endpoint_is_behind_the_guard(moto: Moto) -> None:
    """A bucket is no way into the network: its endpoint's address must be allowed."""
    with pytest.raises(AddressRefused, match=r"127\.0\.0\.1"):
        await read(source(moto), Config())


def test_boto3_is_loaded_only_for_buckets() -> None:
    """A service without buckets does not pay for it."""
    code = "import sys, importer.app; print([m for m in sys.modules if m.startswith('boto')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


class AnswerServer:
    """Says one thing to everybody, as an endpoint does that refuses."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        async def answer(_: web.BaseRequest) -> web.Response:
            return web.Response(status=status, body=body, headers=headers)

        self._runner = web.ServerRunner(web.Server(answer))

    async def __aenter__(self) -> str:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
