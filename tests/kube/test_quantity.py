"""Sizes as Kubernetes writes them."""

import pytest

from importer.kube.quantity import parse


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1073741824", 1 << 30),
        ("10Gi", 10 << 30),
        ("1.5Gi", 3 << 29),
        ("100M", 100_000_000),
        ("1k", 1000),
        ("2e9", 2_000_000_000),
        ("2E9", 2_000_000_000),
        ("1E", 10**18),
        ("8Ei", 8 << 60),
        ("1500m", 2),
        ("0.1Ki", 103),
        ("+5", 5),
        (" 5Ti ", 5 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """Every form of the grammar is read; parts of a byte are rounded up."""
    assert parse(text) == size


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "1GiB", "0x10", "1e", "1e999", "one"])
def test_what_is_no_size(text: str) -> None:
    """Anything else is refused with its text."""
    with pytest.raises(ValueError, match="is no quantity"):
        parse(text)
