"""An import's own rate, from the request to the socket."""

import asyncio
from pathlib import Path

from importer.units import MiB
from tests.servers.faults import FaultServer
from tests.servers.running import config, running


async def test_an_import_is_fetched_no_faster_than_it_says(tmp_path: Path) -> None:
    """What the rate does not let through yet stays at the server; a cancel leaves nothing open."""
    content = bytearray(number % 251 for number in range(MiB)) * 96
    content[510:512] = b"\x55\xaa"
    async with FaultServer(bytes(content)) as server, running(config(tmp_path)) as client:
        status, image = await client.fetch("slow", server.url(), limitRate=2 * MiB)
        assert (status, image["spec"]["limitRate"]) == (201, 2 * MiB)
        await client.until("slow", "Transferring")
        sent = -1
        while sent != server.sent:  # until the sockets' buffers are full
            sent = server.sent
            await asyncio.sleep(0.05)
        assert sent < len(content)
        assert (await client.image("slow"))["status"]["phase"] == "Transferring"
        await client.ask("POST", "/v1/images/slow/cancel")
        await server.closed()
