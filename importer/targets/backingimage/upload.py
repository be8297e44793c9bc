"""The bytes' way to Longhorn: one multipart POST to its manager, which hands it to the pod.

The URL and the headers are made here from scratch, nothing of a client's request goes in: the pod's
server takes the first of two query values (BIM: pkg/sync/service.go:596-614), and nobody asks who
sends. The request begins when the first bytes are there (the pod waits 60 seconds for it), is
never silent, and has an exact length: Longhorn stores what is shorter as it is, and fails.
"""

import json
import secrets
from dataclasses import dataclass, field

from yarl import URL

from importer.errors import TargetError, TargetUnavailable
from importer.stream.pipe import Chunks
from importer.stream.trickle import Silence
from importer.targets.remote import Answer, one_line, sending


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that one side may keep the other waiting."""

    silence: Silence = field(default_factory=Silence)
    """The source."""

    taken: float = 120.0
    """Longhorn, until it takes the next bytes."""

    answered: float = 120.0
    """Longhorn, from the last byte to its answer."""

    told: float = 5.0
    """Longhorn's controller, until the image says why an upload broke."""


async def upload(address: str, name: str, size: int, pieces: Chunks, pace: Pace) -> int:
    """Send *pieces*, *size* bytes in all, as the file of BackingImage *name*.

    Returns the bytes of the request's body. Raises TargetUnavailable, TargetError, and what
    *pieces* raise.
    """
    boundary = secrets.token_hex(16)
    head, tail = _ends(name, boundary)
    length = len(head) + size + len(tail)
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(length),
    }
    url = URL(address) / "v1" / "backingimages" / name % {"action": "upload", "size": str(size)}
    first = await anext(pieces)
    to = f"Longhorn at {address}"
    async with sending(to, url, headers, pace.taken, answer=pace.answered) as request:
        early = await request.send(head + first)
        while early is None and (piece := await anext(pieces, None)) is not None:
            early = await request.send(piece)
        answer = early or await request.send(tail) or await request.end()
    if early is not None or answer.status != 200:
        raise _refusal(answer, name, address)
    return length


def _ends(name: str, boundary: str) -> tuple[bytes, bytes]:
    """Return what comes before and after the file (RFC 7578); the part must be called `chunk`."""
    disposition = f'Content-Disposition: form-data; name="chunk"; filename="{name}"'
    head = f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n"
    return head.encode(), f"\r\n--{boundary}--\r\n".encode()


def _refusal(answer: Answer, name: str, address: str) -> TargetError:
    """Return what an answer that is no 200, or comes before the end, means."""
    told = f"upload of {name} to {address}: {answer.status} {_words(answer)}"
    if answer.status == 413:
        return TargetError(
            f"{told}: a proxy before Longhorn takes no body of this size; let [longhorn] url name "
            "Longhorn's own service, or raise the proxy's limit"
        )
    if answer.status >= 500 or answer.status in (200, 408, 429):
        return TargetUnavailable(told)
    return TargetError(f"{told}: is [longhorn] url Longhorn's manager?")


def _words(answer: Answer) -> str:
    """Return Longhorn's own words: `message` of its errors, or a text."""
    try:
        return one_line(str(json.loads(answer.text)["message"]))
    except (ValueError, KeyError, TypeError):
        return answer.words
