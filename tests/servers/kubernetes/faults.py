"""What goes wrong next, as data."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from tests.servers.kubernetes.access import Call


@dataclass
class Fault:
    """The next `times` calls that match fare badly; those before, `skip` of them, go well."""

    status: int = 0
    """Answer with this status: 429, 500, 503, 504, 409 ..."""

    do: Literal["answer", "close", "lose", "hang", "garbage", "end"] = "answer"
    """``answer``: with `status`. ``close``: the connection, before anything happens. ``lose``: do
    what is asked, then close without an answer. ``hang``: never answer. ``garbage``: 200 and a page
    that is no JSON, as a proxy in between gives it."""

    verb: str = ""
    resource: str = ""
    """Plural. Empty, like all others: any."""

    subresource: str | None = None
    namespace: str = ""
    name: str = ""
    retry_after: int | None = None
    message: str = ""
    times: int = 1
    skip: int = 0
    met: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when the fault has struck."""

    def strikes(self, call: Call) -> bool:
        """Whether *call* is one of those that fail; counts them."""
        if self.times <= 0 or not self._matches(call):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        self.met.set()
        return True

    def _matches(self, call: Call) -> bool:
        return (
            self.verb in ("", call.verb)
            and self.resource in ("", call.resource)
            and self.subresource in (None, call.subresource)
            and self.namespace in ("", call.namespace)
            and self.name in ("", call.name)
        )
