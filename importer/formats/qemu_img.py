"""qemu-img as a process: limited, unprivileged, and killed when nobody waits for it any more.

It is handed open files, never names: no name of a user's reaches the command line, and a file in a
directory that only the service may enter can still be read by the user that qemu-img runs as.
Every format is said explicitly. Raises ImageError, NoSpace, TargetError.
"""

import asyncio
import contextlib
import json
import os
import pwd
import signal
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from importer import config
from importer.errors import CorruptImage, ImporterError, NoSpace, TargetError
from importer.model import Format, WantedFormat
from importer.units import GiB, KiB, MiB

_OUTPUT_MOST = 4 * MiB
_SAID_MOST = 500
_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
_LEAKS_ONLY, _CANNOT_CHECK = 3, 63


@dataclass(frozen=True, slots=True)
class _Done:
    code: int
    out: bytes
    said: str
    """What it wrote to stderr, trimmed."""


class QemuImg:
    """Runs qemu-img within the limits of the configuration. Files are given as descriptors."""

    def __init__(self, settings: config.QemuImg) -> None:
        self._settings = settings
        self._user = pwd.getpwnam(settings.user) if os.geteuid() == 0 else None

    async def info(self, file: int, format: Format) -> dict[str, Any]:
        """Return what ``qemu-img info`` tells of *file*. Raises CorruptImage."""
        command = ("info", "--output=json", "-f", driver(format), _path(file))
        done = await self._run(command, (file,), self._settings.info_cpu)
        if done.code:
            raise CorruptImage(f"qemu-img cannot read the {format} image: {_why(done)}")
        try:
            found: dict[str, Any] = json.loads(done.out)
        except ValueError as exc:
            raise CorruptImage(f"qemu-img info of the {format} image: {exc}") from exc
        return found

    async def virtual_size(self, file: int, format: Format) -> int:
        """Return the virtual size of *file* in bytes. Raises CorruptImage."""
        return int((await self.info(file, format))["virtual-size"])

    async def check(self, file: int, format: Format) -> None:
        """Raise CorruptImage when ``qemu-img check`` finds damage; leaked clusters are none."""
        command = ("check", "-q", "-f", driver(format), _path(file))
        done = await self._run(command, (file,), self._settings.convert_cpu)
        if done.code not in (0, _LEAKS_ONLY, _CANNOT_CHECK):
            raise CorruptImage(f"the {format} image is damaged: {_why(done)}")

    async def convert(
        self, source: int, format: Format, to: int, wanted: WantedFormat, virtual_size: int
    ) -> None:
        """Write the guest data of *source* to *to*, an empty file or a block device."""
        device = stat.S_ISBLK(os.fstat(to).st_mode)
        options = ["-W", "-f", driver(format), "-O", wanted]
        if wanted == "raw":
            options += ["-n"] if device else ["-n", "--target-is-zero"]
        command = ("convert", *options, _path(source), _path(to))
        most = virtual_size + virtual_size // 8 + 64 * MiB
        done = await self._run(command, (source, to), self._settings.convert_cpu, most)
        if done.code:
            raise _failed(done, format, wanted)

    async def _run(
        self, command: Sequence[str], files: tuple[int, ...], cpu: int, most: int = GiB
    ) -> _Done:
        limits = [
            f"--as={self._settings.memory}",
            f"--cpu={cpu}",
            f"--fsize={most}",
            "--core=0",
        ]
        with self._lent(files) as before:
            process = await asyncio.create_subprocess_exec(
                *before,
                "prlimit",
                *limits,
                "--",
                "qemu-img",
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=_ENVIRONMENT,
                pass_fds=files,
            )
            return await _finished(process)

    @contextlib.contextmanager
    def _lent(self, files: tuple[int, ...]) -> Iterator[list[str]]:
        """Let the other user open *files*; yields the words that make a process that user's.

        Block devices cannot be lent: they keep their owner, and the process stays ours.
        """
        before = ["setpriv", "--no-new-privs", "--inh-caps=-all"]
        stats = [os.fstat(file) for file in files]
        if self._user is None or any(stat.S_ISBLK(each.st_mode) for each in stats):
            yield before
            return
        user, group = self._user.pw_uid, self._user.pw_gid
        with contextlib.ExitStack() as lent:
            for file, each in zip(files, stats, strict=True):
                os.fchown(file, user, group)
                lent.callback(os.fchown, file, each.st_uid, each.st_gid)
            yield [*before, f"--reuid={user}", f"--regid={group}", "--clear-groups"]


def driver(format: Format) -> str:
    """Return qemu-img's name of *format*."""
    return "raw" if format is Format.ISO else str(format)


def _path(file: int) -> str:
    return f"/proc/self/fd/{file}"


async def _finished(process: asyncio.subprocess.Process) -> _Done:
    assert process.stdout is not None  # noqa: S101  (both are pipes)
    assert process.stderr is not None  # noqa: S101
    try:
        out, said = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr))
        code = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await _reaped(process)
    return _Done(code, out, _trimmed(said))


async def _bounded(pipe: asyncio.StreamReader) -> bytes:
    """Return what comes, to its end; what is beyond _OUTPUT_MOST is dropped."""
    found = bytearray()
    while chunk := await pipe.read(64 * KiB):
        found += chunk[: _OUTPUT_MOST - len(found)]
    return bytes(found)


async def _reaped(process: asyncio.subprocess.Process) -> None:
    ended = asyncio.ensure_future(process.wait())
    while not ended.done():
        # Killed already: it ends at once, so being cancelled once more can wait for that.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(ended)


def _trimmed(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return " / ".join(line.removeprefix("qemu-img: ") for line in lines)[-_SAID_MOST:]


def _why(done: _Done) -> str:
    if done.code < 0:
        name = signal.Signals(-done.code).name
        return f"it was stopped by {name} ([qemu_img] limits); {done.said}".rstrip("; ")
    return done.said or f"exit code {done.code}"


def _failed(done: _Done, format: Format, wanted: WantedFormat) -> ImporterError:
    if "No space left" in done.said:
        return NoSpace(f"no room to convert the {format} image to {wanted}: {done.said}")
    if "writing" in done.said or done.code == -signal.SIGXFSZ:
        return TargetError(f"writing {wanted}: {_why(done)}")
    return CorruptImage(f"the {format} image cannot be converted to {wanted}: {_why(done)}")
