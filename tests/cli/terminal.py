"""A terminal: what a command writes to stderr goes through a real pty."""

import asyncio
import os
import pty
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.cli.command import environment

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Terminal:
    """A command that runs on a terminal, and what it has written there."""

    process: asyncio.subprocess.Process
    _raw: bytearray = field(default_factory=bytearray)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def text(self) -> str:
        """What was written, without the cursor's movements."""
        return _ESCAPES.sub("", self._raw.decode(errors="replace"))

    async def until(self, word: str) -> None:
        """Wait until *word* was written; the test's own timeout bounds it."""
        while word not in self.text:
            self._news.clear()
            await self._news.wait()

    def take(self, descriptor: int) -> None:
        """Take what there is to read."""
        try:
            self._raw += os.read(descriptor, 65536)
        except OSError:  # the last process that held the other end is gone
            asyncio.get_running_loop().remove_reader(descriptor)
        self._news.set()


@asynccontextmanager
async def terminal(*words: str, **env: str) -> AsyncIterator[Terminal]:
    """Run ``importer`` with *words*, its stderr on a terminal, its stdout in a pipe."""
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "importer",
        *words,
        stdin=slave,
        stdout=asyncio.subprocess.PIPE,
        stderr=slave,
        env=environment(**env),
    )
    os.close(slave)
    loop, ran = asyncio.get_running_loop(), Terminal(process)
    loop.add_reader(master, ran.take, master)
    try:
        yield ran
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        loop.remove_reader(master)
        os.close(master)
