"""The head of a file that is looked at before the file is sent."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests import images
from tests.api.test_refusals import BAD
from tests.servers.running import Client, config, running

MiB = 1 << 20
BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service for files of 64 MiB and disks of 1 GiB at most."""
    limits = {"image_size": 64 * MiB, "virtual_size": 1 << 30}
    async with running(config(tmp_path / "data", limits=limits)) as client:
        yield client


async def look(client: Client, content: bytes, tail: int = 0) -> tuple[int, Any]:
    """Ask what the file with this *content* is, by its head and *tail* bytes of its end."""
    body = content[:MiB] + content[len(content) - tail :]
    query = {"size": len(content), **({"tail": tail} if tail else {})}
    return await client.ask(
        "POST", "/v1/inspect", params=query, data=io.BytesIO(body), headers=BYTES
    )


@pytest.mark.parametrize("kind", [kind for kind in images.KINDS if "vhdx" not in kind])
async def test_a_file_is_known_by_its_ends(client: Client, tmp_path: Path, kind: str) -> None:
    """Format, virtual size and size of every kind, and nothing is made."""
    path, format = images.make(kind, tmp_path), images.KINDS[kind][0]
    status, told = await look(client, path.read_bytes(), tail=1536)
    assert (status, told["format"]) == (200, format), told
    assert told["virtualSize"] == images.virtual_size(path, format)
    assert told["size"] == path.stat().st_size
    assert await client.names() == {}


@pytest.mark.parametrize("packed", ["xz", "gzip", "zstd", "bzip2"])
async def test_a_compressed_file_says_so(client: Client, tmp_path: Path, packed: str) -> None:
    """The format is that of the disk inside."""
    file = images.compressed(images.make("qcow2", tmp_path), packed)
    status, told = await look(client, file.read_bytes())
    assert (status, told["format"], told["compression"]) == (200, "qcow2", packed)
    assert told["virtualSize"] == 8 * MiB


async def test_a_fixed_vhd_is_told_by_its_end(client: Client, tmp_path: Path) -> None:
    """Without its last bytes it looks raw; with them it does not."""
    content = images.make("vpc-fixed", tmp_path).read_bytes()
    assert (await look(client, content))[1]["format"] == "raw"
    assert (await look(client, content, tail=512))[1]["format"] == "vpc"


async def test_a_vhdx_is_known_by_its_head(client: Client, tmp_path: Path) -> None:
    """Its virtual size is further in than the first MiB, so that stays open."""
    status, told = await look(client, images.make("vhdx", tmp_path).read_bytes())
    assert (status, told["format"], told["virtualSize"]) == (200, "vhdx", None)


@pytest.mark.parametrize("what", [what for what in BAD if what not in ("cut off", "bomb", "odd")])
async def test_what_an_upload_would_refuse_is_refused(
    client: Client, tmp_path: Path, what: str
) -> None:
    """By the same name, before a byte of the rest is sent."""
    make, expected = BAD[what]
    status, answer = await look(client, make(tmp_path))
    assert status in (413, 422), answer
    assert answer["error"]["slug"] == expected or expected is None


@pytest.mark.parametrize(
    ("query", "length", "status"),
    [
        ("", 1024, 400),
        ("size=-1", 1024, 400),
        ("size=4096", 1024, 400),
        ("size=1024", 4096, 413),
        (f"size={2 * MiB}", MiB + 1, 413),
        (f"size={2 * MiB}", 3 * MiB, 413),
        (f"size={2 * MiB}&tail=512", MiB, 400),
        (f"size={2 * MiB}&tail=65537", MiB + 65537, 400),
        ("size=512&tail=1024", 1536, 400),
        (f"size={65 * MiB}", MiB, 413),
        ("size=1024&size=1024", 1024, 400),
        ("size=1024&url=x", 1024, 400),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_no_head(
    client: Client, query: str, length: int, status: int, chunked: bool
) -> None:
    """More than the head is refused and not read, less cannot be looked at."""

    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(length)

    body = pieces() if chunked else io.BytesIO(bytes(length))
    got, answer = await client.ask("POST", f"/v1/inspect?{query}", data=body, headers=BYTES)
    assert got == status, answer


async def test_a_url_takes_no_size(client: Client) -> None:
    """What is asked of a body of bytes is refused beside JSON."""
    wanted = {"url": "http://127.0.0.1:1/x"}
    status, _ = await client.ask("POST", "/v1/inspect?size=1", json=wanted)
    assert status == 400
