"""What `import` and `inspect` are given for a server or a bucket arrives, and is not shown."""

import base64
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.cli.given import Given
from importer.errors import CallerError
from tests import images
from tests.cli.command import Ran, importer
from tests.servers.moto import moto_server
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(config(tmp_path / "data")) as client:
        yield client


@pytest.fixture
def disk(tmp_path: Path) -> bytes:
    return images.raw(tmp_path / "disk.raw").read_bytes()


async def command(service: Client, *words: str, **env: str) -> Ran:
    where = ("--server", service.base, "--data", str(service.data))
    return await importer(*words, *where, **env)


async def test_headers_and_a_password_are_sent(
    service: Client, disk: bytes, tmp_path: Path
) -> None:
    """Typed, read from a file, or from the environment; `show` has none of them."""
    (tmp_path / "key").write_text("SECRET1\n")
    options = ("--header", f"X-Key: @{tmp_path / 'key'}", "--header", "X-Other: one: two")
    async with WebServer(disk) as server:
        url = server.url("/disk.raw")
        ran = await command(
            service, "import", url, *options, "--user", "me", IMPORTER_PASSWORD="SECRET2"
        )
    assert ran.code == 0, ran
    for request in server.requests:
        assert request.headers["X-Key"] == "SECRET1"
        assert request.headers["X-Other"] == "one: two"
        login = base64.b64encode(b"me:SECRET2").decode()
        assert request.headers["Authorization"] == f"Basic {login}"
    shown = await command(service, "show", "disk", "--json")
    assert set(shown.json["spec"]["source"]["headers"].values()) == {"***"}


async def test_a_bucket_with_this_shells_keys(service: Client, disk: bytes) -> None:
    """`--with-keys` sends what every S3 tool reads from the environment."""
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "SECRET"}
    async with moto_server() as moto:
        moto.client.create_bucket(Bucket="images")
        await moto.put("images", "sub/disk.raw", disk)
        where = ("s3://images/sub/disk.raw", "--endpoint-url", moto.endpoint, "--with-keys")
        told = await command(service, "inspect", *where, "--json", **keys)
        assert (told.code, told.json["size"]) == (0, len(disk)), told
        ran = await command(service, "import", *where, "--json", **keys)
        assert ran.code == 0, ran
    assert ran.json["name"] == "disk"
    assert ran.json["status"]["checksums"]["sha256"] == hashlib.sha256(disk).hexdigest()
    assert "SECRET" not in ran.out


async def test_no_check_of_certificates_is_loud(service: Client, disk: bytes) -> None:
    """`--insecure` warns when it is used, and `show` does whenever the image is looked at."""
    async with WebServer(disk) as server:
        ran = await command(service, "import", server.url("/disk.raw"), "--insecure")
    assert ran.code == 0, ran
    assert "warning: certificates are not checked" in ran.err
    assert "certificates are not checked" in (await command(service, "show", "disk")).out


WEB, BUCKET = "https://images.example/disk", "s3://images/disk"


@pytest.mark.parametrize(
    ("given", "url", "message"),
    [
        (Given(header=("no colon",)), WEB, "--header"),
        (Given(header=("X: @/nowhere/at/all",)), WEB, "--header X"),
        (Given(header=("authorization: x",), user="a:b"), WEB, "--user"),
        (Given(user="a:b", bearer_file=Path("/dev/null")), WEB, "--bearer-file"),
        (Given(bearer_file=Path("/dev/null")), WEB, "is empty"),
        (Given(ca=Path("/nowhere")), WEB, "--ca"),
        (Given(region="eu-west-1"), WEB, "s3://"),
        (Given(user="a:b"), BUCKET, "http and https"),
        (Given(own_keys=True), BUCKET, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    given: Given, url: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, before the service is asked."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with pytest.raises(CallerError, match=message):
        given.source(url)
