"""What every benchmark prints: a JSON line a figure, kept in ``perf/results.jsonl`` on demand.

The machine is shared and noisy: a figure is quoted as its ratio to the baseline of the same run,
taken in turns, and as a median.
"""

import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.jsonl")


def figure(bench: str, unit: str, runs: Sequence[float], **more: Any) -> dict[str, Any]:
    """Print and return one figure: median, least and most of *runs* in *unit*."""
    line = {
        "bench": bench,
        "unit": unit,
        "median": round(statistics.median(runs), 4),
        "least": round(min(runs), 4),
        "most": round(max(runs), 4),
        "runs": len(runs),
        **more,
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "commit": commit(),
    }
    print(json.dumps(line), flush=True)
    return line


def keep(lines: Sequence[dict[str, Any]]) -> None:
    """Append *lines* to the results; earlier ones are never edited."""
    with RESULTS.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def commit() -> str:
    """Return the short hash of what is measured."""
    command = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


async def in_turns(runs: int, *sides: Callable[[], Awaitable[float]]) -> list[list[float]]:
    """Run every side once to warm up, then all of them in turns; return seconds by side."""
    for side in sides:
        await side()
    taken: list[list[float]] = [[] for _ in sides]
    for _ in range(runs):
        for side, seconds in zip(sides, taken, strict=True):
            seconds.append(await side())
    return taken


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return ours/theirs pair by pair: what drifts, drifts for both."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def note(text: str) -> None:
    """Tell the reader something that is no figure."""
    print(text, file=sys.stderr, flush=True)
