"""What a page costs to load: the bytes that came over the network, as the browser counted them."""

from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import BrowserContext, Page


@dataclass
class Transfer:
    """Bytes of all answers that are complete, heads included, by address."""

    _urls: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """All together."""
        return sum(self.sizes.values())

    def asked(self, event: dict[str, Any]) -> None:
        """Note what a request is for."""
        self._urls[event["requestId"]] = event["request"]["url"]

    def finished(self, event: dict[str, Any]) -> None:
        """Note what an answer was."""
        url = self._urls.get(event["requestId"], event["requestId"])
        self.sizes[url] = self.sizes.get(url, 0) + int(event["encodedDataLength"])


async def counted(context: BrowserContext, page: Page) -> Transfer:
    """Count from now on (Chrome DevTools Protocol, ``Network.loadingFinished``)."""
    session = await context.new_cdp_session(page)
    transfer = Transfer()
    session.on("Network.requestWillBeSent", transfer.asked)
    session.on("Network.loadingFinished", transfer.finished)
    await session.send("Network.enable")
    return transfer
