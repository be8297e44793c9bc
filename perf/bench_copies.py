"""What it costs to watch all copies of a large cluster, and how soon one is seen.

2,000 DataVolumes with their claims, 500 Longhorn volumes with their engines, all of them copies
that are over, as large as real ones; an API server of the tests' in this process, the watcher in
one of its own. The bounds: 60 MiB of memory beside what the connection alone takes, 2 % of a core
while nothing changes (a bookmark comes), 2 s until a copy that begins is told of.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from importer.config import Config, Kubernetes
from importer.copies import Copies
from importer.copies.history import History
from importer.copies.watcher import Watcher
from importer.kube.cluster import cluster as connected
from importer.metrics import Metrics
from perf.report import figure
from tests.servers import large
from tests.servers.cdi.scripted import Clone
from tests.servers.kubernetes import FakeKubernetes, serving

MEMORY, SHARE, SECONDS = 60.0, 0.02, 2.0
"""MiB, cores, seconds: what each figure must be under."""


def filled(count: int) -> FakeKubernetes:
    """Return a cluster with *count* DataVolumes and a quarter as many volumes."""
    found = FakeKubernetes()
    ceph = {"metadata": {"name": "ceph"}, "provisioner": "rbd.csi.ceph.com"}
    found.create("storageclasses", ceph)
    for number in range(20):
        found.create("namespaces", {"metadata": {"name": f"team-{number}"}})
    for number in range(count):
        found.create("persistentvolumeclaims", large.claim(number))
        found.create("datavolumes", large.data_volume(number))
    for number in range(count // 4):
        found.create("volumes", _longhorns(large.volume(number)))
        found.create("engines", _longhorns(large.engine(number)))
    return found


def _longhorns(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "metadata": {**one["metadata"], "namespace": "longhorn-system"}}


@asynccontextmanager
async def child(kubeconfig: Path, idle: float) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `watched` in a process of its own; it prints a line of JSON for each thing it tells."""
    words = ("perf.bench_copies", str(kubeconfig), str(idle))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *words, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def told(process: asyncio.subprocess.Process) -> dict[str, float]:
    """Return what the process tells next."""
    assert process.stdout
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the watcher has ended")
    found: dict[str, float] = json.loads(line)
    return found


async def main(smoke: bool) -> list[dict[str, Any]]:
    """Measure all of it."""
    count, idle = (40, 1.0) if smoke else (2000, 60.0)
    fake = filled(count)
    with tempfile.TemporaryDirectory() as folder:
        async with serving(fake) as served:
            path = served.kubeconfig(Path(folder) / "kubeconfig")
            async with child(path, idle) as process:
                seen = await told(process)
                fake.bookmark()
                spent = await told(process)
                seconds = await reaction(fake, process)
    sizes = {"data_volumes": count, "volumes": count // 4}
    bench = "copies"
    return [
        figure(bench, "MiB", [seen["kept"]], what="memory kept", under=MEMORY, **sizes),
        figure(bench, "MiB", [seen["peak"]], what="memory at most", under=MEMORY, **sizes),
        figure(bench, "seconds", [seen["seconds"]], what="until all is seen", **sizes),
        figure(bench, "cores", [spent["share"]], what="nothing changes", under=SHARE, **sizes),
        figure(bench, "seconds", [seconds], what="until told of", under=SECONDS, **sizes),
    ]


async def reaction(fake: FakeKubernetes, process: asyncio.subprocess.Process) -> float:
    """Return the seconds from when a copy begins until it is told of."""
    one = Clone(fake, "new", "ceph", large.GiB, kind="copy")
    one.begin()
    start = time.time()
    one.phase("HostClone", "1.00%")
    return (await told(process))["at"] - start


async def watched(kubeconfig: str, idle: float) -> None:
    """Watch the cluster, and print what it costs and when a copy is seen."""
    settings = Kubernetes(enabled=True, kubeconfig=kubeconfig)
    copies = Copies(History(Path(kubeconfig).parent / "copies.db"), Metrics().copies)
    await copies.open()
    async with connected(settings) as cluster:
        watcher = Watcher(copies, Config(kubernetes=settings), cluster)
        before, start = memory("VmRSS"), time.monotonic()
        with copies.listener() as listener:
            watcher.start()
            while len(copies.watching()) < 5:
                await asyncio.sleep(0.05)
            seconds = time.monotonic() - start
            await asyncio.sleep(1.0)  # until it has been looked at
            kept, peak = memory("VmRSS") - before, memory("VmHWM") - before
            tell(kept=kept, peak=peak, seconds=seconds)
            spent = processor()
            await asyncio.sleep(idle)
            tell(share=(processor() - spent) / idle)
            await listener.batch()
            tell(at=time.time())
        await watcher.stop()
    await copies.close()


def tell(**what: float) -> None:
    """Print a line for the parent."""
    print(json.dumps(what), flush=True)


def memory(name: str) -> float:
    """Return a figure of this process's status, in MiB."""
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {name} in /proc")


def processor() -> float:
    """Return the seconds of processor time that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    asyncio.run(watched(sys.argv[1], float(sys.argv[2])))
