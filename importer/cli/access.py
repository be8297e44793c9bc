"""Which service the commands talk to, and with which token."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from importer.config import Service
from importer.errors import CallerError
from importer.model import Name

DEFAULT_SERVER = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Access:
    """Where the service is and how it lets us in."""

    server: str = DEFAULT_SERVER
    token: str | None = None
    data: Path | None = None
    """The service's data directory, where its token is. None: the default one."""

    namespace: str | None = None
    """None: the service's own default."""

    def address(self) -> str:
        """Return the base URL without a slash at its end. Raises CallerError."""
        parts = urlsplit(self.server)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise CallerError(
                f"--server {self.server!r} is no address such as {DEFAULT_SERVER}; "
                "correct it or IMPORTER_SERVER"
            )
        return self.server.rstrip("/")

    def bearer(self) -> str:
        """Return the token, empty when there is none to be found. Raises CallerError."""
        token = self.token or self._token_of_service()
        if not token.isascii() or not token.isprintable() or " " in token:
            raise CallerError("the token has characters that no token has; look at --token")
        return token

    def query(self) -> dict[str, str]:
        """Return the namespace as a query. Raises CallerError when it is none."""
        return {"namespace": checked_name(self.namespace, "namespace")} if self.namespace else {}

    def _token_of_service(self) -> str:
        # This machine's token is no business of another machine.
        if not _is_loopback(urlsplit(self.server).hostname or ""):
            return ""
        path = (self.data or Path(Service().data)) / "token"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as exc:
            raise CallerError(f"token file {path}: {exc}; give --token") from exc


def checked_name(name: str, what: str = "name") -> str:
    """Return *name* when it is a DNS-1123 label. Raises CallerError."""
    try:
        return msgspec.convert(name, Name)
    except msgspec.ValidationError as exc:
        raise CallerError(
            f"{what} {name!r}: only a to z, 0 to 9 and - are possible, at most 63 of them, "
            "not - at an end"
        ) from exc


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
