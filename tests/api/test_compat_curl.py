"""curl needs no option to choose a method: what it sends by itself makes an image."""

import asyncio
from pathlib import Path

import pytest

from tests import images
from tests.servers.running import config, running

SENDS = {
    "PUT, raw": ("-T", "{file}"),
    "POST, raw": ("--data-binary", "@{file}", "-H", "Content-Type: application/octet-stream"),
    "POST, urlencoded by its name": ("--data-binary", "@{file}"),
    "POST, form": ("-F", "file=@{file}"),
    "PUT, form": ("-X", "PUT", "-F", "chunk=@{file}"),
    "POST, chunked": ("-X", "POST", "-T", "-"),
}


@pytest.mark.parametrize("words", SENDS.values(), ids=list(SENDS))
async def test_curl_makes_an_image(tmp_path: Path, words: tuple[str, ...]) -> None:
    """200 or 202, and the very disk; the form's own lines are no part of it."""
    path = images.make("qcow2", tmp_path)
    async with running(config(tmp_path / "data")) as client:
        with path.open("rb") as file:
            done = await asyncio.create_subprocess_exec(
                *("curl", "-sS", "-f", "-o", "/dev/null"),
                *("-H", f"Authorization: Bearer {client.service.token}"),
                *(word.replace("{file}", str(path)) for word in words),
                f"{client.base}/v1/images/disk/content",
                stdin=file,
            )
            assert await done.wait() == 0
        image = await client.until("disk")
        assert image["status"]["phase"] == "Ready"
        made = client.data / "images" / client.files()[0]
        assert images.same(path, "qcow2", made, "qcow2")
