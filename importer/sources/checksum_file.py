"""Checksum files as publishers write them: which line is the image's own.

Shapes: ``HEX  name`` and ``HEX *name`` (coreutils), ``SHA256 (name) = HEX`` (BSD), a file with one
hash and no name. Clear text with a PGP signature around it is read; the signature is not verified.
Raises SourceError when the file has no line for the image, two that differ, or is no such file;
and what reading a URL raises.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

import msgspec
from yarl import URL

from importer.errors import CallerError, SourceError, SourceUnavailable
from importer.model import S3Source, Source, Spec, UploadSource, UrlSource
from importer.sources.http import Web
from importer.sources.origin import same_server
from importer.sources.origins import Origins
from importer.sources.s3 import item
from importer.sources.secrets import parse, shown
from importer.units import MiB, human

LARGEST = MiB
"""Bytes of a checksum file at most; Debian's longest has 20 KiB."""

SECONDS = 60.0
"""Seconds for reading one: whoever asks for an image waits for it."""

_ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
"""By the number of hexadecimal digits."""

_HEX = "[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128}"
_PLAIN = re.compile(rf"\\?({_HEX})(?:[ \t]+\*?(\S.*?))?\s*\Z")
_BSD = re.compile(rf"(MD5|SHA-?1|SHA-?256|SHA-?512) ?\((.+)\) ?= ?({_HEX})\s*\Z", re.IGNORECASE)
_PGP_BEGIN = "-----BEGIN PGP SIGNED MESSAGE-----"
_PGP_END = "-----BEGIN PGP SIGNATURE-----"


class _Line(NamedTuple):
    checksum: str
    """``ALG:HEX``, the digits in lower case."""

    name: str
    """Empty: the file does not say what it is of."""


async def settled(spec: Spec, origins: Origins, web: Web) -> Spec:
    """Return *spec* with a checksum that is ``ALG:HEX``, once its source is seen to be possible."""
    if not isinstance(spec.source, UploadSource):
        origins.check(spec.source)
    url = spec.checksum
    if url is None or not url.startswith(("http://", "https://")):
        return spec
    return msgspec.structs.replace(spec, checksum=await fetched(url, spec.source, origins, web))


async def fetched(
    url: str, image: Source, origins: Origins, web: Web, seconds: float = SECONDS
) -> str:
    """Return the ``ALG:HEX`` of *image* by the checksum file at *url*.

    The image's own headers go along where both are on the same server.
    """
    path = _path(image)
    source = UrlSource(url=url)
    if isinstance(image, UrlSource):
        headers = image.headers if same_server(parse(url), parse(image.url)) else {}
        source = UrlSource(url=url, headers=headers, ca=image.ca, insecure=image.insecure)
    origins.check(source)
    try:
        async with asyncio.timeout(seconds):
            probe = await web.probe(await origins.of(source))
    except TimeoutError as exc:
        raise SourceUnavailable(f"{shown(url)} is not read after {seconds:g} s") from exc
    if (probe.size or len(probe.head)) >= LARGEST:
        raise SourceError(f"{shown(url)} is no checksum file: it has {human(LARGEST)} or more")
    return own(probe.head.decode(errors="replace"), path, shown(url))


def own(text: str, path: str, what: str) -> str:
    """Return the ``ALG:HEX`` that *text*, the checksum file *what*, has for the file at *path*."""
    lines = list(_lines(text))
    if not lines:
        raise SourceError(f"{what} is no checksum file: it has no line such as `HEX  name`")
    name = PurePosixPath(path).name
    found = _of(lines, path) or [line for line in lines if len(lines) == 1 and not line.name]
    if not found:
        raise SourceError(
            f"{what} has no checksum of {name!r}, but of {_some(line.name for line in lines)}"
        )
    return _one(found, name, what)


def _path(image: Source) -> str:
    """Return where *image* is on its server, its name last."""
    match image:
        case UrlSource():
            return unquote(URL(image.url).raw_path)
        case S3Source():
            return "/" + item(image.url).key
        case _:
            raise CallerError(
                "a checksum file is looked up by the name in the image's URL; give ALG:HEX"
            )


def _of(lines: list[_Line], path: str) -> list[_Line]:
    """Return the lines that end *path* as they stand; where none does, those of its name."""
    name = PurePosixPath(path).name
    named = [line for line in lines if PurePosixPath(line.name).name == name]
    exact = [line for line in named if path.endswith("/" + line.name.removeprefix("./"))]
    return exact or named


def _one(found: list[_Line], name: str, what: str) -> str:
    """Return the one checksum of *found*; of several algorithms the strongest."""
    best = max((line.checksum for line in found), key=len)
    algorithm = best.partition(":")[0]
    for line in found:
        if line.checksum.startswith(algorithm + ":") and line.checksum != best:
            raise SourceError(
                f"{what} has two checksums of {name!r}: {best} and {line.checksum}; "
                "give the right one as ALG:HEX"
            )
    return best


def _lines(text: str) -> Iterator[_Line]:
    for each in _signed(text.splitlines()):
        # RFC 4880 section 7.1: a line of signed text that begins with a dash has "- " before it.
        line = each.removeprefix("- ").strip("\ufeff")
        if bsd := _BSD.match(line):
            if _ALGORITHMS[len(bsd[3])] == bsd[1].lower().replace("-", ""):
                yield _Line(_checksum(bsd[3]), bsd[2])
        elif plain := _PLAIN.match(line):
            yield _Line(_checksum(plain[1]), plain[2] or "")


def _signed(lines: list[str]) -> list[str]:
    """Return what is between PGP's marks, where there are any."""
    start = lines.index(_PGP_BEGIN) + 1 if _PGP_BEGIN in lines else 0
    end = lines.index(_PGP_END) if _PGP_END in lines[start:] else len(lines)
    return lines[start:end]


def _checksum(digits: str) -> str:
    return f"{_ALGORITHMS[len(digits)]}:{digits.lower()}"


def _some(names: Iterable[str]) -> str:
    some = [repr(name[:80]) if name else "a file without a name" for name in names]
    return ", ".join(some[:3]) + (f" and {len(some) - 3} more" if len(some) > 3 else "")
