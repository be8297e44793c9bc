"""A name for an image whose user gave none, made from its file's name."""

from urllib.parse import unquote, urlsplit

from importer.errors import CallerError
from importer.jobs.names import label_of


def name_of_file(name: str) -> str:
    """Return a DNS-1123 label for the file *name*: ``Debian_12.qcow2.xz`` gives ``debian-12``.

    Raises CallerError when nothing is left of it.
    """
    label = label_of(name)
    if not label:
        raise CallerError(f"{name!r} gives no name for an image: give one with --name")
    return label


def name_of_url(url: str) -> str:
    """Return a DNS-1123 label for the last part of *url*'s path. Raises CallerError."""
    try:
        path = urlsplit(url).path
    except ValueError as exc:
        raise CallerError("the URL cannot be read: correct it") from exc
    return name_of_file(unquote(path.rstrip("/").rpartition("/")[2]))
