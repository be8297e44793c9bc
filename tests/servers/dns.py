"""A resolver of the test's own: what a name answers is said beforehand, and may change.

It stands where the system's is asked (`socket.getaddrinfo`): what an attacker's DNS server would
say comes from there as well. And a witness of every connection that is tried.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any


@dataclass
class Names:
    """What names mean."""

    answers: dict[str, list[str]] = field(default_factory=dict)
    """Name → its addresses, one an answer; the last one for ever. A name that is missing is
    unknown, as is one whose address is empty."""

    asked: list[str] = field(default_factory=list)

    @contextmanager
    def answering(self) -> Iterator["Names"]:
        """Answer for the whole process until the block ends."""
        real = socket.getaddrinfo
        socket.getaddrinfo = self._answer  # type: ignore[assignment]
        try:
            yield self
        finally:
            socket.getaddrinfo = real

    def _answer(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        addresses = self.answers.get(host.rstrip("."), [""])
        address = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        if not address:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if ip_address(address).version == 4:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))]


_witnesses: list[list[tuple[Any, ...]]] = []


def _saw(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        for seen in _witnesses:
            seen.append(args[1])


@contextmanager
def connections() -> Iterator[list[tuple[Any, ...]]]:
    """Yield the addresses to which this process tries to connect meanwhile."""
    if _saw not in _hooked:
        sys.addaudithook(_saw)  # it stays: an audit hook cannot be taken back
        _hooked.append(_saw)
    seen: list[tuple[Any, ...]] = []
    _witnesses.append(seen)
    try:
        yield seen
    finally:
        _witnesses.remove(seen)


_hooked: list[Any] = []
