"""The options that commands share, and what makes a plain function of a command that needs them."""

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from typer import Argument, Option

from importer.cli.access import DEFAULT_SERVER, Access
from importer.cli.exits import exits

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
        metavar="ALG:HEX",
        help="What the file must hash to: md5, sha1, sha256 or sha512.",
    ),
]
FormatOption: TypeAlias = Annotated[
    str | None, Option("--format", metavar="raw|qcow2", help="Format to store it in.")
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
