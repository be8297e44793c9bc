"""What an upload shows of its image, beside how much of the body has gone."""

from importer.cli.body import Body
from importer.cli.progress import Show
from importer.model import AT_TARGET, Image


class AroundBody:
    """Shows what the service does before and after the body; in between the sender knows more."""

    def __init__(self, body: Body, show: Show) -> None:
        self._body = body
        self._show = show

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Show it."""
        self._show.phase(name, done, total)

    def image(self, image: Image) -> None:
        """Show an image that waits for its turn, or that the target works on."""
        if not self._body.done or image.phase in AT_TARGET:
            self._show.image(image)

    def note(self, text: str) -> None:
        """Say it."""
        self._show.note(text)
