"""What `import` and `inspect` are given beside the URL, as the API's source."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from importer.errors import CallerError

_MOST = 48 * 1024


@dataclass(frozen=True, slots=True)
class Given:
    """The options as they were typed."""

    header: tuple[str, ...] = ()
    user: str | None = None
    bearer_file: Path | None = None
    ca: Path | None = None
    insecure: bool = False
    endpoint_url: str | None = None
    region: str | None = None
    anonymous: bool = False
    own_keys: bool = False

    def source(self, url: str) -> dict[str, Any]:
        """Return the source for *url*. Raises CallerError for options that do not fit it."""
        common: dict[str, Any] = {"url": url, "insecure": self.insecure}
        if self.ca:
            common["ca"] = _text(self.ca, "--ca")
        if self.insecure:
            typer.echo("warning: certificates are not checked (--insecure)", err=True)
        return common | (self._bucket() if url.startswith("s3://") else self._web())

    def _web(self) -> dict[str, Any]:
        if self.endpoint_url or self.region or self.anonymous or self.own_keys:
            raise CallerError(
                "--endpoint-url, --region, --anonymous and --with-keys are for s3:// URLs"
            )
        headers = dict(_header(line) for line in self.header)
        given = [name for name in headers if name.lower() == "authorization"]
        given += ["--user"] * bool(self.user) + ["--bearer-file"] * bool(self.bearer_file)
        if len(given) > 1:
            raise CallerError(f"one of {', '.join(given)} is enough")
        if self.user:
            headers["Authorization"] = _basic(self.user)
        if self.bearer_file:
            headers["Authorization"] = f"Bearer {_text(self.bearer_file, '--bearer-file').strip()}"
        return {"type": "url", "headers": headers}

    def _bucket(self) -> dict[str, Any]:
        if self.header or self.user or self.bearer_file:
            raise CallerError("--header, --user and --bearer-file are for http and https URLs")
        named = {
            "endpoint": self.endpoint_url,
            "region": self.region,
            "anonymous": self.anonymous or None,
        }
        keys = _keys() if self.own_keys else {}
        return {"type": "s3"} | {k: v for k, v in {**named, **keys}.items() if v is not None}


def _header(line: str) -> tuple[str, str]:
    """Return name and value of ``Name: value``; ``@FILE`` in place of the value is read."""
    name, colon, value = line.partition(":")
    value = value.strip()
    if not colon or not name:
        raise CallerError("--header is 'Name: value' or 'Name: @FILE'")
    if value.startswith("@"):
        value = _text(Path(value[1:]), f"--header {name}").strip()
    return name, value


def _basic(user: str) -> str:
    name, colon, password = user.partition(":")
    if not colon:
        password = os.environ.get("IMPORTER_PASSWORD") or typer.prompt(
            f"Password of {name}", hide_input=True, err=True
        )
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _keys() -> dict[str, str | None]:
    """Return the keys of this shell, as every S3 tool reads them."""
    found = {
        "accessKeyId": os.environ.get("AWS_ACCESS_KEY_ID"),
        "secretAccessKey": os.environ.get("AWS_SECRET_ACCESS_KEY"),
        "sessionToken": os.environ.get("AWS_SESSION_TOKEN"),
    }
    if not found["accessKeyId"] or not found["secretAccessKey"]:
        raise CallerError("--with-keys: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
    return found


def _text(path: Path, option: str) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST + 1).decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise CallerError(f"{option}: {path} cannot be read: {exc}") from exc
    if len(text) > _MOST or not text.strip():
        raise CallerError(f"{option}: {path} is empty or has more than {_MOST} bytes")
    return text
