"""Runs the benchmarks.

    python -m perf [--smoke] [--keep] [NAME ...]

--smoke: small sizes, one run each, to see that they work; their figures mean nothing.
--keep: append the figures to perf/results.jsonl.
"""

import argparse
import asyncio
import importlib
from pathlib import Path

from perf.report import keep, note

NAMES = sorted(
    path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py")
)


def main() -> None:
    """Run what was asked for, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m perf")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    for name in asked.names or NAMES:
        bench = importlib.import_module(f"perf.bench_{name}")
        note(f"{name}: {(bench.__doc__ or '').partition(chr(10))[0]}")
        lines = asyncio.run(bench.main(asked.smoke))
        if asked.keep:
            keep(lines)


if __name__ == "__main__":
    main()
