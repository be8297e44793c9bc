"""Buckets: boto3 signs, the bytes travel as a URL's do, and the service's keys stay its own."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from importer.config import Config, apply
from importer.model import S3Source
from importer.sources.http import Web
from importer.sources.origins import Origins, OriginSource
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
    given = {"endpoint": moto.endpoint, "access_key_id": "id", "secret_access_key": "secret"}
    return S3Source(url=f"s3://images/{key}", **{**given, **options})  # type: ignore[arg-type]


async def read(wanted: S3Source, settings: Config) -> bytes:
    """Return all of the file, over as many ranges as it takes."""
    web, origins = Web(settings.url), Origins(settings)
    file = OriginSource(wanted, origins, web.source)
    try:
        opened = await file.open()
        return b"".join([chunk async for chunk in opened.chunks])
    finally:
        await file.close()
        await web.close()


async def test_a_file_arrives_over_ranges(moto: Moto) -> None:
    """Every range is signed anew, whatever characters the key has."""
    assert await read(source(moto), config()) == CONTENT
