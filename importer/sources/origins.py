"""From what an import says of its source to a file that can be asked for.

Raises CallerError and AddressRefused for what cannot or must not be asked for.
"""

from collections.abc import Callable

from importer.config import Config
from importer.errors import CallerError
from importer.model import S3Source, UploadSource, UrlSource
from importer.model import Source as AnySource
from importer.sources import Opened, Source
from importer.sources.credentials import Credentialed, check_headers
from importer.sources.origin import Origin
from importer.sources.proxy import Proxies
from importer.sources.s3 import Buckets, check
from importer.sources.secrets import parse, shown
from importer.sources.trust import check_ca, trust_of

Remote = UrlSource | S3Source
"""What the service fetches by itself."""


def remote(source: AnySource) -> Remote:
    """Return *source*, which the service fetches. Raises CallerError for an upload."""
    if isinstance(source, UploadSource):
        raise CallerError("an upload brings its bytes itself, they are not fetched")
    return source


class Origins:
    """All of them, by one configuration."""

    def __init__(self, config: Config) -> None:
        self._url = config.url
        self._s3 = config.s3
        self._proxies = Proxies(config.url)
        self._buckets = Buckets(config.s3, self._proxies)

    def check(self, source: Remote) -> None:
        """Raise CallerError or AddressRefused for what can never be asked for."""
        if source.ca is not None:
            check_ca(source.ca)
        if source.ca is not None and source.insecure:
            raise CallerError("give ca or insecure, not both: insecure checks nothing")
        if isinstance(source, S3Source):
            check(source, self._s3)
        else:
            check_headers(source.headers, parse(source.url))

    async def of(self, source: Remote) -> Origin:
        """Return the file that *source* names, ready to be asked for.

        Raises SourceError (no credentials) too.
        """
        what = source.url if isinstance(source, S3Source) else shown(source.url)
        trust = trust_of(self._url.ca_bundle, source.ca, insecure=source.insecure, what=what)
        if isinstance(source, S3Source):
            return await self._buckets.origin(source, trust)
        return Credentialed(source.url, source.headers, trust, self._proxies)


class OriginSource:
    """A file whose origin is found when it is opened: finding it may take a while, or fail."""

    rereadable = True

    def __init__(
        self, remote: Remote, origins: Origins, source: Callable[[Origin], Source]
    ) -> None:
        self._remote = remote
        self._origins = origins
        self._source = source
        self._opened: Source | None = None

    async def open(self) -> Opened:
        """Find the file and open it. Raises CallerError, AddressRefused, SourceError."""
        self._opened = self._source(await self._origins.of(self._remote))
        return await self._opened.open()

    async def close(self) -> None:
        """Close what was opened."""
        if self._opened:
            await self._opened.close()
