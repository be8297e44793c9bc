"""importer/stream/memory.py."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, threading
from importer.stream.memory import keep_chunks

if "keep" in sys.argv:
    assert keep_chunks()

def work():
    for _ in range(500):
        held = [b"x" * (1 << 20) for _ in range(4)]
        del held

before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments: str) -> int:
    """Return how many pages were touched for the first time."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_chunks_come_from_pages_that_were_used_before() -> None:
    """2000 chunks of 256 pages each: malloc alone takes fresh ones again and again."""
    assert faults("keep") < 20 * 256
    assert faults() > 500 * 256
