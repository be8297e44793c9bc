"""Names for images, made from those of files."""

import pytest

from importer.cli.names import name_of_file, name_of_url
from importer.errors import CallerError


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("debian-12.qcow2", "debian-12"),
        ("Debian_12 (1).RAW.xz", "debian-12-1"),
        ("disk.raw.gz", "disk"),
        ("ubuntu-24.04-server.img", "ubuntu-24-04-server"),
        ("x" * 62 + "-y.iso", "x" * 62),
        ("plain", "plain"),
    ],
)
def test_name_of_file(file: str, name: str) -> None:
    """Endings go, and what no name may hold becomes a dash."""
    assert name_of_file(file) == name


def test_name_of_url() -> None:
    """The last part of the path counts, unquoted, without query and fragment."""
    assert name_of_url("https://user:pw@host/a/My%20Disk.qcow2?x=y.raw#z") == "my-disk"


@pytest.mark.parametrize("make", [name_of_file, name_of_url])
def test_no_name(make: object) -> None:
    """A file whose name gives nothing asks for --name."""
    assert callable(make)
    with pytest.raises(CallerError, match="--name"):
        make("___.img")
