"""Nine days of a service, told by its own metrics: what Prometheus would have of them by now.

A script drives real Metrics objects; what they export at each scrape gets the time of that scrape.
One class made images and copies at one pace for eight days and slower on the last one. An event
between two scrapes is as large whatever time lies between them: all that is compared are bytes over
seconds, which do not ask how often.
"""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from importer.metrics import Metrics
from importer.model import Phase, StorageClass

MiB = 1 << 20
DAY = 86400.0

CLASS = StorageClass(
    name="longhorn-v2", provisioner="driver.longhorn.io", backend="cdi", engine="longhorn-v2"
)
OF = ("cdi", "longhorn-v2", "longhorn-v2")
WAYS = {"host-assisted": "measured", "full-copy": "inferred"}

BEFORE = {
    "wire": 1000 * MiB,
    "skipped": 3000 * MiB,
    "Inspecting": 1.0,
    "Preparing": 5.0,
    "Transferring": 10.0,
    "Processing": 4.0,
    "source": 2.0,
    "target": 6.0,
    "copied": 8000 * MiB,
    "copying": 40.0,
}
"""What one import and one copy each way came to: bytes, seconds of phases and sides."""

LAST_DAY = BEFORE | {"wire": 500 * MiB, "target": 8.0, "Processing": 9.0, "copying": 80.0}


def scrapes(end: float) -> Iterator[float]:
    """Yield when it was scraped: every six hours, every hour of the last day, then each minute."""
    back = [*range(9 * 24, 24, -6), *range(24, 1, -1)]
    yield from (end - hours * 3600 for hours in back)
    yield from (end - minutes * 60 for minutes in range(70, -1, -1))


def told(end: float) -> Iterator[str]:
    """Yield the lines of the whole time, up to *end* in seconds since 1970: OpenMetrics."""
    metrics = Metrics()
    metrics.copies.up("datavolumes", True)
    metrics.of(CLASS).entered(Phase.TRANSFERRING)
    for strategy, basis in WAYS.items():
        metrics.copies.begin((*OF, strategy), basis, ["clone-error"])
    for number, at in enumerate(scrapes(end)):
        metrics.copies.clock = lambda at=at: at
        if number:
            _happens(metrics, BEFORE if at <= end - DAY else LAST_DAY, at)
        yield from scraped(metrics, at)


def scraped(metrics: Metrics, at: float) -> Iterator[str]:
    """Yield the lines of a scrape at that moment."""
    for line in metrics.text().decode().splitlines():
        if not line.startswith("#"):
            yield f"{line} {at:.3f}\n"


def _happens(metrics: Metrics, sizes: dict[str, float], at: float) -> None:
    """Let an import succeed and one fail, and copies each way, while another of each runs."""
    one = metrics.of(CLASS)
    for hop in ("source", "wire", "written"):
        one.passed(hop, int(sizes["wire"]))
    one.passed("skipped", int(sizes["skipped"]))
    for phase in (Phase.INSPECTING, Phase.PREPARING, Phase.TRANSFERRING, Phase.PROCESSING):
        one.phase(phase, "done", sizes[phase.value])
    for side in ("source", "target"):
        one.stalled(side, sizes[side])
    one.transferred(int(sizes["wire"] + sizes["skipped"]), sizes["Transferring"])
    one.ended("ready")
    one.retried("source-unavailable")
    one.ended("failed", "no-space")
    for strategy, basis in WAYS.items():
        of = (*OF, strategy)
        metrics.copies.count(of, basis, int(sizes["copied"]), sizes["copying"])
        metrics.copies.ended(of, "done", "")
        metrics.copies.ended(of, "failed", "clone-error")
        metrics.copies.live(of, 1, 4000 * MiB, at - 30)


def blocks(lines: Iterable[str], folder: Path) -> None:
    """Make Prometheus' own files of scrapes, in ``folder/tsdb``."""
    text = folder / "history.txt"
    with text.open("w") as file:
        file.writelines(lines)
        file.write("# EOF\n")
    # One block, not one for each two hours: the whole text is read for every block.
    command = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "--max-block-duration=2000h",
    ]
    made = [str(text), str(folder / "tsdb")]
    subprocess.run([*command, *made], check=True, capture_output=True)
    text.unlink()
