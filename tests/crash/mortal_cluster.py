"""The same mortal service beside a cluster (tests/crash/mortal.py): every class of it is gated.

python -m tests.crash.mortal_cluster DATA POINT KUBECONFIG LONGHORN
"""

import asyncio
import sys
from pathlib import Path

from importer.app import listening, service
from importer.config import Config
from importer.formats.recognise import refuse_nested
from importer.kube.cluster import cluster
from importer.targets.in_cluster import look
from tests.crash.mortal import Death
from tests.servers.gated import behind
from tests.servers.running import config


def settings(data: Path, kubeconfig: str, longhorn: str) -> Config:
    """Return settings of a service on *data* with the classes of a cluster alone."""
    return config(
        data,
        kubernetes={"enabled": True, "kubeconfig": kubeconfig},
        longhorn={"url": longhorn},
        local={"classes": []},
    )


async def main(data: Path, point: str, kubeconfig: str, longhorn: str) -> None:
    ours = settings(data, kubeconfig, longhorn)
    async with cluster(ours.kubernetes) as connected:
        real = await look(connected, ours, refuse_nested)()
        shelves = {name: behind(shelf, Death(point)) for name, shelf in real.items()}
        async with (
            service(ours, shelves) as run,
            listening(run.app, "127.0.0.1", 0, ours) as base,
        ):
            print(base, run.token, flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:5]))
