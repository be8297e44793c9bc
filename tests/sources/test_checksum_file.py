"""Checksum files as publishers write them: the image's own line, or a clear error."""

import hashlib
from collections.abc import AsyncIterator

import pytest

from importer.config import Config, apply
from importer.errors import AddressRefused, CallerError, SourceError, SourceUnavailable
from importer.model import S3Source, Spec, UploadSource, UrlSource
from importer.sources.checksum_file import LARGEST, fetched, own, settled
from importer.sources.http import Web
from importer.sources.origins import Origins
from tests.servers.web import WebServer

A, B = "a1" * 32, "b2" * 32
A512 = "c3" * 64
PATH = "/images/12/debian.qcow2"

PGP = f"""-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA512

# debian.qcow2: 345 bytes
SHA256 (debian.qcow2) = {A}
- -----BEGIN nothing
-----BEGIN PGP SIGNATURE-----

iQIzBAEBCgAdFiEE{B}
{B}
-----END PGP SIGNATURE-----
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{A}  debian.qcow2\n{B}  other.qcow2\n", f"sha256:{A}"),
        (f"{B} *other.qcow2\r\n{A.upper()} *debian.qcow2\r\n", f"sha256:{A}"),
        (f"\ufeff{A}  ./debian.qcow2", f"sha256:{A}"),
        (f"SHA256 (debian.qcow2) = {A}\nSHA256 (other.qcow2) = {B}\n", f"sha256:{A}"),
        (f"SHA512 (debian.qcow2) = {A512}\nSHA256 (debian.qcow2) = {A}", f"sha512:{A512}"),
        (f"SHA2-512 (debian.qcow2) = {A512}\nMD5(debian.qcow2)= {'d' * 32}", f"md5:{'d' * 32}"),
        (f"{A}\n", f"sha256:{A}"),
        (f"{A}  -\n{A}  debian.qcow2", f"sha256:{A}"),
        (f"{A}  12/debian.qcow2\n{B}  11/debian.qcow2\n", f"sha256:{A}"),
        (f"{A}  debian.qcow2\n{A}  debian.qcow2\n", f"sha256:{A}"),
        (f"{'e' * 40}  debian.qcow2\n", f"sha1:{'e' * 40}"),
        (PGP, f"sha256:{A}"),
    ],
)
def test_the_own_line_is_found(text: str, expected: str) -> None:
    """In every style, by name; with the path where names alone do not tell."""
    assert own(text, PATH, "SUMS") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{A}  other.qcow2\n", r"no checksum of 'debian.qcow2', but of 'other.qcow2'"),
        (f"{A}  debian.qcow2.xz\n", r"no checksum of 'debian.qcow2'"),
        (f"{A}\n{B}\n", r"no checksum of 'debian.qcow2', but of a file without a name"),
        (f"{A}  debian.qcow2\n{B}  debian.qcow2\n", "two checksums"),
        (f"{A}  10/debian.qcow2\n{B}  11/debian.qcow2\n", "two checksums"),
        ("<html>Not here</html>", "no checksum file"),
        (f"SHA256 (debian.qcow2) = {A[:-1]}", "no checksum file"),
        (f"MD5 (debian.qcow2) = {A}", "no checksum file"),
        ("", "no checksum file"),
    ],
)
def test_what_is_not_sure_is_refused(text: str, message: str) -> None:
    """No line, two lines that differ, or no such file at all: said, never guessed."""
    with pytest.raises(SourceError, match=message):
        own(text, PATH, "SUMS")


@pytest.fixture
def config() -> Config:
    return apply(Config(), {"url": {"allow_addresses": ["127.0.0.0/8"]}})


@pytest.fixture
async def web(config: Config) -> AsyncIterator[Web]:
    web = Web(config.url)
    yield web
    await web.close()


def spec(url: str, checksum: str, **headers: str) -> Spec:
    return Spec(source=UrlSource(url=url, headers=headers), checksum=checksum)


async def test_a_url_is_looked_up_once_and_for_all(config: Config, web: Web) -> None:
    """What the image has afterwards is the hash; the import's headers go to its own server."""
    text = f"{hashlib.sha256(b'x').hexdigest()}  disk.img\n".encode()
    async with WebServer(text) as own_server, WebServer(text) as other:
        for server in (own_server, other):
            wanted = spec(own_server.url("/a/disk.img"), server.url("/SUMS"), Token="SECRET")
            found = await settled(wanted, Origins(config), web)
            assert found.checksum == "sha256:" + hashlib.sha256(b"x").hexdigest()
            assert found.source == wanted.source
    assert own_server.requests[0].headers["Token"] == "SECRET"
    assert "Token" not in other.requests[0].headers


async def test_a_file_in_a_bucket_has_its_line_too(config: Config, web: Web) -> None:
    """The name is the key's last part."""
    source = S3Source(url="s3://images/a/debian.qcow2", anonymous=True)
    async with WebServer(f"{A}  debian.qcow2\n".encode()) as server:
        wanted = Spec(source=source, checksum=server.url())
        assert (await settled(wanted, Origins(config), web)).checksum == f"sha256:{A}"


async def test_a_file_that_is_too_large_is_no_checksum_file(config: Config, web: Web) -> None:
    """Neither with a length nor without one is more than its bound read."""
    for length in (True, False):
        async with WebServer(bytes(3 * LARGEST), length=length) as server:
            wanted = spec(server.url(), server.url("/SUMS"))
            with pytest.raises(SourceError, match=r"1\.0 MiB or more"):
                await settled(wanted, Origins(config), web)


async def test_a_checksum_file_that_does_not_come_is_given_up(config: Config, web: Web) -> None:
    """Who asks for an image is not kept waiting by a server that drips."""
    async with WebServer(f"{A}  disk.img\n".encode(), stall_after=9) as server:
        image = UrlSource(url=server.url())
        with pytest.raises(SourceUnavailable, match="is not read after"):
            await fetched(server.url("/SUMS"), image, Origins(config), web, seconds=0.3)


async def test_a_checksum_file_is_behind_the_guard(web: Web) -> None:
    """Its URL is no way into the network either, and what cannot be looked up is said."""
    config = Config()
    web = Web(config.url)
    with pytest.raises(AddressRefused):
        await settled(spec("http://x.example/a", "http://127.0.0.1/S"), Origins(config), web)
    wanted = Spec(source=UploadSource(), checksum="https://x.example/SUMS")
    with pytest.raises(CallerError, match="ALG:HEX"):
        await settled(wanted, Origins(config), web)
    await web.close()
