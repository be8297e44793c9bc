"""How a request names an image that is somewhere else."""

from typing import Annotated

import msgspec
from msgspec import Meta

from importer.errors import CallerError
from importer.model import S3Source, UrlSource


class RemoteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The body of ``POST /v1/inspect``: a URL, or a source as an image's spec has it."""

    url: Annotated[str, Meta(min_length=1, max_length=8192)] | None = None
    source: UrlSource | S3Source | None = None

    def wanted(self) -> UrlSource | S3Source:
        """Return the source. Raises CallerError unless one of the two is given."""
        if (self.url is None) is (self.source is None):
            raise CallerError("give url or source, one of the two")
        return self.source or UrlSource(url=self.url or "")
