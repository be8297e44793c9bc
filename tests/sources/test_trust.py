"""Which servers are believed: those that the system trusts, and what an import adds."""

import datetime
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from importer.config import Config, apply
from importer.errors import CallerError, SourceError
from importer.model import UrlSource
from importer.sources.http import Web
from importer.sources.origins import Origins
from importer.sources.trust import check_ca


@dataclass(frozen=True)
class Authority:
    """A certificate that signs itself, for 127.0.0.1."""

    pem: str
    key: Path
    certificate: Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return made(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return made(tmp_path_factory.mktemp("other"))


def made(folder: Path) -> Authority:
    """Return an authority that is new, its files in *folder*."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "certificate").write_bytes(pem)
    (folder / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Authority(pem.decode(), folder / "key", folder / "certificate")


class TlsServer:
    """Serves one file to whoever trusts it."""

    def __init__(self, authority: Authority) -> None:
        async def answer(_: web.BaseRequest) -> web.Response:
            return web.Response(body=b"image")

        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(authority.certificate, authority.key)
        self._runner = web.ServerRunner(web.Server(answer))

    async def __aenter__(self) -> str:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context).start()
        return f"https://127.0.0.1:{self._runner.addresses[0][1]}/disk.img"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


def config(**url: object) -> Config:
    return apply(Config(), {"url": {"allow_addresses": ["127.0.0.0/8"], **url}})


async def head(source: UrlSource, settings: Config) -> bytes:
    servers = Web(settings.url)
    try:
        return (await servers.probe(await Origins(settings).of(source))).head
    finally:
        await servers.close()


async def test_an_unknown_authority_is_refused(authority: Authority) -> None:
    """A certificate that nobody vouches for is the end of it, and the message says what to do."""
    async with TlsServer(authority) as url:
        with pytest.raises(SourceError, match="not trusted"):
            await head(UrlSource(url=url), config())


async def test_an_imports_own_authority_is_trusted(authority: Authority) -> None:
    """By this import, and by no other of the same service."""
    async with TlsServer(authority) as url:
        assert await head(UrlSource(url=url, ca=authority.pem), config()) == b"image"
        with pytest.raises(SourceError, match="not trusted"):
            await head(UrlSource(url=url), config())


async def test_the_configured_bundle_is_trusted(authority: Authority, other: Authority) -> None:
    """By every import; with an import's own beside it, both are."""
    settings = config(ca_bundle=str(authority.certificate))
    async with TlsServer(authority) as url:
        assert await head(UrlSource(url=url), settings) == b"image"
        assert await head(UrlSource(url=url, ca=other.pem), settings) == b"image"
        with pytest.raises(SourceError, match="not trusted"):
            await head(UrlSource(url=url, ca=other.pem), config())


async def test_insecure_checks_nothing_and_says_so(authority: Authority) -> None:
    """Neither authority nor name is looked at, and the log has it each time."""
    async with TlsServer(authority) as url:
        with capture_logs() as logs:
            source = UrlSource(url=f"{url}?k=SECRET", insecure=True)
            assert await head(source, config()) == b"image"
    (said,) = [line for line in logs if line["log_level"] == "warning"]
    assert said["event"] == "certificates are not checked"
    assert "SECRET" not in str(said)


@pytest.mark.parametrize(
    "ca",
    ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "ü"],
)
def test_what_is_no_certificate_is_refused(ca: str) -> None:
    """When the image is asked for, not when it is fetched."""
    with pytest.raises(CallerError, match="no PEM text"):
        check_ca(ca)


def test_a_private_key_is_refused(authority: Authority) -> None:
    """A ca is shown to everybody who may see the image: no key may be in it."""
    with pytest.raises(CallerError, match="private key"):
        check_ca(authority.pem + authority.key.read_text())
