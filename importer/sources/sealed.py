"""Where an image comes from, as it is shown and as it is kept: what is secret is kept sealed.

Secret are a URL's user, password and query, the values of headers, and keys of buckets.
"""

import msgspec

from importer.model import S3Source, Source, UploadSource, UrlSource
from importer.sources.secrets import Seal, has_secrets, shown

HIDDEN = "***"


def public(source: Source) -> Source:
    """Return *source* as everybody may see it."""
    match source:
        case UrlSource():
            hidden = dict.fromkeys(source.headers, HIDDEN)
            return msgspec.structs.replace(source, url=shown(source.url), headers=hidden)
        case S3Source():
            keys = {name: HIDDEN for name in _KEYS if getattr(source, name)}
            return msgspec.structs.replace(source, **keys)
        case UploadSource():
            return source


def seal_source(source: Source, seal: Seal) -> bytes | None:
    """Return *source* sealed. None: nothing of it is secret."""
    return seal.seal(msgspec.json.encode(source).decode()) if _is_secret(source) else None


def open_source(shown: Source, sealed: bytes | None, seal: Seal) -> Source:
    """Return the whole of what is *shown* of a source. Raises ImporterError."""
    if sealed is None:
        return shown
    text = seal.open(sealed)
    if not text.startswith("{"):  # by version 0.1, which sealed the URL alone
        return UrlSource(url=text)
    return msgspec.json.decode(text, type=Source)  # type: ignore[no-any-return]


def _is_secret(source: Source) -> bool:
    match source:
        case UrlSource():
            return bool(source.headers) or has_secrets(source.url)
        case S3Source():
            return any(getattr(source, name) for name in _KEYS)
        case UploadSource():
            return False


_KEYS = ("access_key_id", "secret_access_key", "session_token")
