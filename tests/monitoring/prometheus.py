"""Debian's Prometheus with the shipped rules, on nine days that were and a service that is."""

import asyncio
import contextlib
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from deploy.monitoring.rules import groups


@dataclass
class Prometheus:
    """One that runs."""

    http: aiohttp.ClientSession
    base: str
    end: float
    """When what it was given ended, in seconds since 1970."""

    async def ask(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return what it answers to *expr*, at this moment or *at* another."""
        return await self._result("query", query=expr, time=f"{at or time.time():.3f}")

    async def over(self, expr: str, start: float, end: float) -> list[dict[str, Any]]:
        """Return what it answers to *expr* from *start* to *end*, as a graph asks."""
        step = max(15.0, (end - start) / 200)
        asked = {"query": expr, "start": str(start), "end": str(end), "step": str(step)}
        return await self._result("query_range", **asked)

    async def labels(self, metric: str, label: str) -> list[str]:
        """Return the values that *label* has on *metric*."""
        path = f"{self.base}/api/v1/label/{label}/values"
        async with self.http.get(path, params={"match[]": metric}) as response:
            return list((await response.json())["data"])

    async def until(self, expr: str) -> list[dict[str, Any]]:
        """Return what it answers to *expr* once that is something; the test's timeout bounds it."""
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                if found := await self.ask(expr):
                    return found
            await asyncio.sleep(0.1)

    async def _result(self, path: str, **asked: str) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.base}/api/v1/{path}", params=asked) as response:
            if response.status == 503:  # it starts
                return []
            answer = await response.json()
            assert answer["status"] == "success", (asked, answer)
            return list(answer["data"]["result"])


def settings(target: str, token: str, rules: Path) -> dict[str, Any]:
    """Return what docs/monitoring.md says, with seconds for minutes between two looks."""
    return {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "scrape_configs": [
            {
                "job_name": "importer",
                "authorization": {"credentials": token},
                "static_configs": [{"targets": [target]}],
            }
        ],
        "rule_files": [str(rules)],
    }


@asynccontextmanager
async def prometheus(
    target: str, token: str, folder: Path, end: float
) -> AsyncIterator[Prometheus]:
    """Run it on ``folder/tsdb``, which ends at *end*, until the block ends; it scrapes *target*.

    The rules are the shipped ones, looked at twice a second.
    """
    often = [{**group, "interval": "500ms"} for group in groups()]
    rules = folder / "rules.yml"
    rules.write_text(json.dumps({"groups": often}))
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(settings(target, token, rules)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder}/tsdb",
        "--storage.tsdb.retention.time=30d",
        f"--web.listen-address={address}",
        "--log.level=error",
        stdout=subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as http:
            yield Prometheus(http, f"http://{address}", end)
    finally:
        process.terminate()
        await process.wait()
