"""Runs the ``importer`` command as a process of its own, as a shell does."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of stdout."""
        return json.loads(self.out.splitlines()[-1])


def environment(**more: str) -> dict[str, str]:
    """Return this environment without settings of the importer, and with *more*."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("IMPORTER_")}
    return own | {"COLUMNS": "200", "TERM": "xterm"} | more


async def start(*words: str, **env: str) -> asyncio.subprocess.Process:
    """Start ``importer`` with *words*."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "importer",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**env),
    )


async def importer(*words: str, **env: str) -> Ran:
    """Run ``importer`` with *words* to its end."""
    process = await start(*words, **env)
    out, err = await process.communicate()
    return Ran(process.returncode or 0, out.decode(), err.decode())
