"""The options that commands share, and what makes a plain function of a command that needs them."""

import inspect
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from typer import Argument, Option

from importer.cli.access import DEFAULT_SERVER, Access
from importer.cli.exits import exits
from importer.cli.given import Given
from importer.errors import CallerError

NameArgument: TypeAlias = Annotated[str, Argument(metavar="NAME", help="The image's name.")]
NameOption: TypeAlias = Annotated[
    str | None, Option("--name", help="Name of the image; else made from the file's name.")
]
ClassOption: TypeAlias = Annotated[
    str | None, Option("--storage-class", help="Where to make it; else the default class.")
]
ChecksumOption: TypeAlias = Annotated[
    str | None,
    Option(
        "--checksum",
        metavar="ALG[:HEX]",
        help="What the file must hash to; ALG alone (sha256, ...): hash it first and send that.",
    ),
]
FormatOption: TypeAlias = Annotated[
    str | None, Option("--format", metavar="raw|qcow2", help="Format to store it in.")
]
TargetOption: TypeAlias = Annotated[
    list[str] | None,
    Option(
        "--target",
        metavar="KEY=VALUE",
        help="Option of the class's backend, as copies=2; VALUE is JSON or text. Any number.",
    ),
]
LookedUpOption: TypeAlias = Annotated[
    str | None,
    Option(
        "--checksum",
        metavar="ALG:HEX|URL",
        help="What the file must hash to, or where a SHA256SUMS file says it.",
    ),
]
HeaderOption: TypeAlias = Annotated[
    list[str] | None,
    Option(
        "--header",
        metavar="'NAME: VALUE'",
        help="Sent along to the URL's own server; 'NAME: @FILE' reads the value. Any number.",
    ),
]
UserOption: TypeAlias = Annotated[
    str | None,
    Option(
        "--user",
        metavar="NAME[:PASSWORD]",
        help="User of the URL's own server; the password is better in IMPORTER_PASSWORD.",
    ),
]
BearerOption: TypeAlias = Annotated[
    Path | None, Option("--bearer-file", metavar="FILE", help="Bearer token for that server.")
]
CaOption: TypeAlias = Annotated[
    Path | None, Option("--ca", metavar="FILE", help="Authorities to trust as well, PEM.")
]
InsecureOption: TypeAlias = Annotated[
    bool, Option("--insecure", help="Do not check the server's certificate.")
]
EndpointOption: TypeAlias = Annotated[
    str | None, Option("--endpoint-url", metavar="URL", help="Who has the bucket, if not AWS.")
]
RegionOption: TypeAlias = Annotated[
    str | None, Option("--region", metavar="REGION", help="Region of the bucket.")
]
AnonymousOption: TypeAlias = Annotated[
    bool, Option("--anonymous", help="The bucket is public: sign nothing.")
]
KeysOption: TypeAlias = Annotated[
    bool,
    Option(
        "--with-keys",
        help="Send AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN along; else the "
        "service's own keys are used.",
    ),
]
ConfigOption: TypeAlias = Annotated[
    Path | None, Option("--config", metavar="FILE", help="Settings of the service, TOML.")
]
DataOption: TypeAlias = Annotated[
    Path | None,
    Option(
        "--data",
        metavar="DIR",
        envvar="IMPORTER_SERVICE_DATA",
        help="The service's data directory.",
    ),
]
JsonOption: TypeAlias = Annotated[bool, Option("--json", help="Print JSON.")]
ServerOption: TypeAlias = Annotated[
    str, Option("--server", metavar="URL", envvar="IMPORTER_SERVER", help="The service's address.")
]
TokenOption: TypeAlias = Annotated[
    str | None,
    Option(
        "--token",
        envvar="IMPORTER_TOKEN",
        help="The service's token; else read from DATA/token.",
        show_envvar=True,
    ),
]
NamespaceOption: TypeAlias = Annotated[
    str | None,
    Option("--namespace", help="Namespace of images; else `default`, and all to `list`."),
]


def _shared(
    *,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = None,
    data: DataOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> tuple[Access, bool]:
    return Access(server, token, data, namespace), as_json


def _of_source(
    *,
    header: HeaderOption = None,
    user: UserOption = None,
    bearer_file: BearerOption = None,
    ca: CaOption = None,
    insecure: InsecureOption = False,
    endpoint_url: EndpointOption = None,
    region: RegionOption = None,
    anonymous: AnonymousOption = False,
    own_keys: KeysOption = False,
) -> Given:
    lines = tuple(header or ())
    return Given(lines, user, bearer_file, ca, insecure, endpoint_url, region, anonymous, own_keys)


def with_source(command: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Return *command*, which takes a Given by name, with the options that make one."""
    theirs = inspect.signature(_of_source).parameters
    own = inspect.signature(command).parameters

    async def call(session: Any, **values: Any) -> None:
        given = _of_source(**{name: values.pop(name) for name in theirs})
        await command(session, **values, given=given)

    kept = [p for p in own.values() if p.name != "given"]
    call.__signature__ = inspect.Signature([*kept, *theirs.values()])  # type: ignore[attr-defined]
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    return call


_BYTES = re.compile(r"(\d{1,12})([KMG]?)\Z", re.IGNORECASE)


def bytes_of(text: str, option: str) -> int:
    """Return the bytes (a second) that *text* says, as curl reads it. Raises CallerError."""
    found = _BYTES.match(text)
    if not found or not int(found[1]):
        raise CallerError(f"{option} {text}: give bytes, as 500K, 20M or 1G")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2].upper()]


def target_of(lines: list[str] | None) -> dict[str, Any]:
    """Return ``spec.target`` of *lines* (``KEY=VALUE``). Raises CallerError."""
    found: dict[str, Any] = {}
    for line in lines or ():
        key, equals, value = line.partition("=")
        if not key or not equals or key in found:
            raise CallerError(f"--target {line}: give KEY=VALUE, each key once, as copies=2")
        found[key] = _value(value)
    return found


def _value(text: str) -> Any:
    """Return the JSON that *text* is, itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def remote(command: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Return *command*, which takes a Session first, with the options that this needs."""
    shared = inspect.signature(_shared).parameters
    own = list(inspect.signature(command).parameters.values())[1:]

    def call(**values: Any) -> None:
        access, as_json = _shared(**{name: values.pop(name) for name in shared})
        with exits(as_json=as_json):
            from importer.cli.session import run

            run(lambda session: command(session, **values), access, as_json=as_json)

    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in (*own, *shared.values())]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    return call
