"""The real service as a process that kills itself (SIGKILL) at a named point of an import.

    python -m tests.crash.mortal DATA POINT

prints its address and token once it listens. POINT is one of tests.servers.gated.POINTS.
"""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from importer.app import listening, service
from tests.servers.gated import gated
from tests.servers.running import config


@dataclass
class Death:
    """Stands at every point, and strikes at one."""

    point: str

    async def passes(self, point: str) -> None:
        if point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(data: Path, point: str) -> None:
    settings = config(data)
    async with (
        service(settings, gated(settings, Death(point))) as run,
        listening(run.app, "127.0.0.1", 0, settings) as base,
    ):
        print(base, run.token, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
