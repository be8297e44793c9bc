"""What people write behind options."""

import pytest

from importer.cli.options import bytes_of, target_of
from importer.errors import CallerError


@pytest.mark.parametrize(
    ("text", "rate"), [("1", 1), ("500K", 512_000), ("20m", 20 << 20), ("1G", 1 << 30)]
)
def test_rates_are_read_as_curl_reads_them(text: str, rate: int) -> None:
    """K, M and G are of 1024."""
    assert bytes_of(text, "--limit-rate") == rate


@pytest.mark.parametrize("text", ["", "0", "0K", "-1", "1.5M", "10MB/s", "K", "9" * 13, "1\n"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """Nothing is taken for no limit."""
    with pytest.raises(CallerError, match="limit-rate"):
        bytes_of(text, "--limit-rate")


def test_target_options_are_json_or_text() -> None:
    """What can be read as JSON is; the rest is text as it stands, also with an = in it."""
    lines = ["copies=2", 'diskSelector=["ssd"]', "volumeMode=Block", "a=b=c", "empty=", "n=null"]
    assert target_of(lines) == {
        "copies": 2,
        "diskSelector": ["ssd"],
        "volumeMode": "Block",
        "a": "b=c",
        "empty": "",
        "n": None,
    }
    assert target_of(None) == {}
    deep = "[" * 100_000
    assert target_of([f"deep={deep}"]) == {"deep": deep}


@pytest.mark.parametrize("lines", [["copies"], ["=2"], [""], ["copies=2", "copies=3"]])
def test_what_is_no_target_option_is_refused(lines: list[str]) -> None:
    """A key is needed, and only once."""
    with pytest.raises(CallerError, match="give KEY=VALUE"):
        target_of(lines)
