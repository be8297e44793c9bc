"""URLs and what must not be shown of them.

A URL may carry a user and a password, or a signature in its query. What is stored in clear, shown
or logged is `shown(url)`; the whole of it is kept sealed.
"""

import os
import string
import tempfile
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from yarl import URL

from importer.errors import AddressRefused, CallerError, ImporterError

LONGEST = 8192
"""Characters of a URL at most; servers refuse longer ones."""

_SIGNED = "X-Amz-Signature"
"""Stands for the seven parameters that make a presigned URL of S3."""

_PRINTABLE = frozenset(string.printable) - frozenset(string.whitespace)


def parse(url: str) -> URL:
    """Return *url* as it will be asked for.

    Raises AddressRefused for a host that only lenient resolvers read as an address (``127.1``),
    CallerError for anything else that is no http or https URL.
    """
    if len(url) > LONGEST or not all(ch in _PRINTABLE or ord(ch) > 127 for ch in url):
        raise CallerError("the URL is too long, or has spaces or control characters")
    try:
        parsed = URL(url)
    except (ValueError, TypeError) as exc:
        raise _unreadable(url, exc) from exc
    if parsed.scheme not in ("http", "https"):
        raise CallerError(
            f"the URL's scheme is {parsed.scheme[:20]!r}; http and https are possible"
        )
    if not parsed.host:
        raise CallerError(f"the URL {shown(url)} has no host")
    if _is_lenient_address(parsed.host):
        raise AddressRefused(
            f"{parsed.host} is no proper address; write it as four decimal numbers"
        )
    return parsed.with_fragment(None)


def shown(url: str) -> str:
    """Return *url* without user, password, fragment and the values of its query."""
    try:
        parsed = URL(url).with_user(None).with_fragment(None)
    except (ValueError, TypeError):
        return "(a URL that cannot be read)"
    if not parsed.query_string:
        return str(parsed)
    names = {_SIGNED if name.startswith("X-Amz-") else name: None for name in parsed.query}
    query = "&".join(f"{name}=***" for name in names)
    return f"{parsed.with_query(None)}?{query}"


def has_secrets(url: str) -> bool:
    """Say whether `shown` hides anything that is needed to ask for *url*."""
    parsed = URL(url)
    return bool(parsed.user or parsed.password or parsed.query_string)


class Seal:
    """Encrypts what the store keeps, with a key in a file of its own (0600, made at first use)."""

    def __init__(self, path: Path) -> None:
        self._fernet = Fernet(_key(path))

    def seal(self, text: str) -> bytes:
        """Return *text* encrypted and authenticated."""
        return self._fernet.encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """Return what was sealed. Raises ImporterError when the key is another one."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as exc:
            raise ImporterError(
                "the stored URL cannot be opened: DATA/key was replaced; delete the image and "
                "import it again"
            ) from exc


def _key(path: Path) -> bytes:
    """Return the key in *path*; it appears there whole or not at all, and once."""
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as draft:
            draft.write(Fernet.generate_key())
            draft.flush()
            os.fsync(draft.fileno())
            with suppress(FileExistsError):  # another process was first: its key it is
                os.link(draft.name, path)
    return path.read_bytes()


def _is_lenient_address(host: str) -> bool:
    """Say whether *host* is an address only to ``inet_aton``: short, octal, hexadecimal."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    if not last.isascii():
        return False
    numeric = last.isdigit() or (last.startswith("0x") and set(last[2:]) <= set(string.hexdigits))
    return numeric and not _is_dotted_quad(host)


def _is_dotted_quad(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and all(
        part.isdigit() and str(int(part)) == part and int(part) < 256 for part in parts
    )


def _unreadable(url: str, exc: Exception) -> CallerError:
    host = url.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0]
    if host and _is_lenient_address(host):
        return AddressRefused(f"{host[:60]} is no proper address; write it as four decimal numbers")
    return CallerError(f"the URL cannot be read: {type(exc).__name__}")
