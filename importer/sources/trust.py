"""Which certificates a web server must show: the system's authorities, and what was added.

Added by ``[url] ca_bundle`` for all imports, and by an import for itself alone, as PEM text. An
import may also do without any check (``insecure``), which is logged each time.
Raises CallerError for what is no certificate.
"""

import ssl
from functools import lru_cache

import structlog

from importer.errors import CallerError

log = structlog.get_logger()

CA_LENGTH = 48 * 1024
"""Characters of an import's own authorities at most; a chain has about 6,000."""


@lru_cache(maxsize=4)
def trusted(ca_bundle: str) -> ssl.SSLContext:
    """Return the system's authorities with those of the file *ca_bundle*.

    Kept: reading some hundred certificates takes 20 ms.
    """
    return _trusting(ca_bundle)


def trust_of(ca_bundle: str, ca: str | None, *, insecure: bool, what: str) -> ssl.SSLContext | None:
    """Return what an import of *what* trusts. None: what all imports do."""
    if insecure:
        log.warning("certificates are not checked", source=what)
        return _unchecked()
    if ca is None:
        return None
    context = _trusting(ca_bundle)
    _add(context, ca)
    return context


def check_ca(ca: str) -> None:
    """Raise CallerError unless *ca* is PEM text with certificates."""
    _add(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca)


@lru_cache(maxsize=1)
def _unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _trusting(ca_bundle: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_bundle:
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except (OSError, ssl.SSLError) as exc:
            raise CallerError(f"[url] ca_bundle {ca_bundle}: {exc}") from exc
    return context


def _add(context: ssl.SSLContext, ca: str) -> None:
    if "PRIVATE KEY" in ca:
        raise CallerError("the import's ca holds a private key; give certificates only")
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, TypeError, ValueError) as exc:
        raise CallerError(f"the import's ca is no PEM text with certificates: {exc}") from exc
