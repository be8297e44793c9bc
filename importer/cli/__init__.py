"""The command line: a client of the HTTP API, and the way to start the service.

What a command only needs sometimes (aiohttp, rich, the service itself) is imported inside it, so
that ``importer --help`` answers in a tenth of a second.
"""

import sys


def main() -> None:
    """Run the command in ``sys.argv``; leaves with its exit code (`exits`)."""
    try:
        from importer.cli.commands import app  # Ctrl-C may come this early already.

        app(prog_name="importer")
    except KeyboardInterrupt:
        sys.exit(130)
