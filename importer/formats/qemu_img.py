"""qemu-img as a process: limited, unprivileged, and killed when nobody waits for it any more.

It is handed open files, never names: no name of a user's reaches the command line, and a file in a
directory that only the service may enter can still be read by the user that qemu-img runs as.
Every format is said explicitly. Raises ImageError, NoSpace, TargetError, and ImporterError when
qemu-img does not start.
"""

import asyncio
import contextlib
import json
import os
import pwd
import re
import resource
import signal
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from importer import config
from importer.errors import (
    CallerError,
    CorruptImage,
    ImporterError,
    NoSpace,
    TargetError,
    UnsupportedImage,
)
from importer.model import Format, WantedFormat
from importer.units import GiB, KiB, MiB

_OUTPUT_MOST = 4 * MiB
_SAID_MOST = 500
_LEAKS_ONLY, _CANNOT_CHECK, _NOT_STARTED = 3, 63, 127
_TOO_LARGE = re.compile(r"writing.*File too large")
_OUR_FILES = re.compile(r"'?/proc/self/fd/\d+'?")
_OURSELVES = ("setpriv", "--no-new-privs", "--inh-caps=-all", "--pdeathsig=KILL")
"""setpriv(1): whatever happens, the process gets no more rights, and it dies with the service."""

_CAPABILITIES = sum(1 << bit for bit in (0, 6, 7, 8))  # chown, setgid, setuid, setpcap


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
        self._user = _user(settings.user) if _is_privileged() else None

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
        options = ["-W", "-m", "8", "-f", driver(format), "-O", wanted]
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
            f"--as={_at_most(resource.RLIMIT_AS, self._settings.memory)}",
            # It is told a second before it is killed, so that its end has a name.
            f"--cpu={_at_most(resource.RLIMIT_CPU, cpu)}:{_at_most(resource.RLIMIT_CPU, cpu + 1)}",
            f"--fsize={_at_most(resource.RLIMIT_FSIZE, most)}",
            "--core=0",
        ]
        with self._lent(files) as before:
            done = await _executed([*before, "prlimit", *limits, "--", "qemu-img", *command], files)
        _refuse_limited(done)
        return done

    @contextlib.contextmanager
    def _lent(self, files: tuple[int, ...]) -> Iterator[list[str]]:
        """Let the other user open *files*; yields the words that make a process that user's.

        Block devices cannot be lent, nor files of a file system without owners: for these the
        process stays ours.
        """
        with contextlib.ExitStack() as lent:
            if self._user is None:
                yield [*_OURSELVES]
            elif _give(files, self._user, lent):
                ids = [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}"]
                yield [*_OURSELVES, *ids, "--clear-groups", "--bounding-set=-all"]
            else:
                yield [*_OURSELVES, "--bounding-set=-all,+dac_override"]


def _give(files: tuple[int, ...], user: pwd.struct_passwd, lent: contextlib.ExitStack) -> bool:
    """Make *files* the *user*'s until *lent* closes; return False where that is not possible."""
    stats = [os.fstat(file) for file in files]
    if any(stat.S_ISBLK(each.st_mode) for each in stats):
        return False
    try:
        for file, each in zip(files, stats, strict=True):
            os.fchown(file, user.pw_uid, user.pw_gid)
            lent.callback(os.fchown, file, each.st_uid, each.st_gid)
    except OSError:
        lent.close()
        return False
    return True


def _at_most(kind: int, wanted: int) -> int:
    """Return the limit *wanted*, or the service's own where that is lower: none can be raised."""
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def driver(format: Format) -> str:
    """Return qemu-img's name of *format*."""
    return "raw" if format is Format.ISO else str(format)


def _path(file: int) -> str:
    return f"/proc/self/fd/{file}"


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError as exc:
        raise CallerError(f"configuration: [qemu_img] user: there is no user {name!r}") from exc


def _is_privileged() -> bool:
    """Return True when files can be given away and a process be somebody else's.

    Being root is not enough for that: containers take capabilities away.
    """
    with open("/proc/self/status") as status:
        effective = next(line.split()[1] for line in status if line.startswith("CapEff:"))
    return os.geteuid() == 0 and int(effective, 16) & _CAPABILITIES == _CAPABILITIES


async def _executed(command: Sequence[str], files: tuple[int, ...]) -> _Done:
    done = await _finished(await _started(command, files))
    if done.code == _NOT_STARTED:
        raise ImporterError(f"qemu-img does not start ({done.said}); install qemu-utils")
    return done


async def _started(command: Sequence[str], files: tuple[int, ...]) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            pass_fds=files,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # uvloop forgets a process whose start is cancelled, and leaves it running.
        await _ended(starting)
        if not starting.cancelled() and starting.exception() is None:
            await _killed(starting.result())
        raise
    except OSError as exc:
        raise ImporterError(f"{command[0]} does not start: {exc.strerror}") from exc


async def _finished(process: asyncio.subprocess.Process) -> _Done:
    assert process.stdout is not None  # noqa: S101  (both are pipes)
    assert process.stderr is not None  # noqa: S101
    try:
        out, said = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr))
        code = await process.wait()
    finally:
        await _killed(process)
    return _Done(code, out, _trimmed(said))


async def _bounded(pipe: asyncio.StreamReader) -> bytes:
    """Return what comes, to its end; what is beyond _OUTPUT_MOST is dropped."""
    found = bytearray()
    while chunk := await pipe.read(64 * KiB):
        found += chunk[: _OUTPUT_MOST - len(found)]
    return bytes(found)


async def _killed(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await _ended(asyncio.ensure_future(process.wait()))


async def _ended(task: asyncio.Future[Any]) -> None:
    """Wait for *task*, which ends soon, however often the waiting is cancelled."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])


def _trimmed(said: bytes) -> str:
    text = _OUR_FILES.sub("the file", said.decode(errors="replace"))
    lines = text.strip().splitlines()
    whole = " / ".join(line.removeprefix("qemu-img: ") for line in lines)
    # The cause comes first; a check of a damaged file says a line for each cluster.
    return whole if len(whole) <= _SAID_MOST else f"{whole[:_SAID_MOST]} ..."


def _refuse_limited(done: _Done) -> None:
    """Raise UnsupportedImage when one of the limits stopped qemu-img."""
    if done.code == -signal.SIGXCPU:
        limit = "processor time ([qemu_img] info_cpu, convert_cpu)"
    elif done.code in (-signal.SIGABRT, -signal.SIGTRAP) or "allocate memory" in done.said:
        limit = "memory ([qemu_img] memory)"
    elif done.code == -signal.SIGXFSZ or _TOO_LARGE.search(done.said):
        limit = "size that its disk can need"
    else:
        return
    raise UnsupportedImage(f"qemu-img ran into its limit of {limit}: {done.said}".rstrip(": "))


def _why(done: _Done) -> str:
    if done.code < 0:
        return f"qemu-img was ended by {signal.Signals(-done.code).name}"
    return done.said or f"exit code {done.code}"


def _failed(done: _Done, format: Format, wanted: WantedFormat) -> ImporterError:
    if "No space left" in done.said:
        return NoSpace(f"no room to convert the {format} image to {wanted}: {done.said}")
    if "writing" in done.said:
        return TargetError(f"writing {wanted}: {_why(done)}")
    return CorruptImage(f"the {format} image cannot be converted to {wanted}: {_why(done)}")
