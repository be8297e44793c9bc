"""What headers mean."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from importer.sources.answers import Version, retry_after


@pytest.mark.parametrize(
    ("etag", "modified", "proof"),
    [
        ('"a"', "", '"a"'),
        ('"a"', "Mon", '"a"'),
        ('W/"a"', "Mon", "Mon"),
        ('W/"a"', "", None),
        ("", "Mon", "Mon"),
        ("", "", None),
        ("a", "", None),
    ],
)
def test_only_what_is_strong_proves(etag: str, modified: str, proof: str | None) -> None:
    """A weak ETag, or one that is none, is never sent as If-Range."""
    assert Version(etag, modified, 1).proof == proof


@pytest.mark.parametrize(
    ("later", "change"),
    [
        (Version('"a"', "Mon", 5), None),
        (Version('W/"a"', "Mon", 5), None),
        (Version('"a"', "Tue", 5), None),
        (Version('W/"a"', "Tue", 5), "its Last-Modified was Mon and is Tue"),
        (Version("", "", None), None),
        (Version('"b"', "Mon", 5), 'its ETag was "a" and is "b"'),
        (Version("", "Tue", 5), "its Last-Modified was Mon and is Tue"),
        (Version('"a"', "Mon", 0), "its size was 5 and is 0"),
    ],
)
def test_what_differs_is_named(later: Version, change: str | None) -> None:
    """What an answer leaves out differs in nothing."""
    assert Version('"a"', "Mon", 5).change(later) == change


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("120", 120), ("", None), ("-1", None), ("soon", None)]
)
def test_retry_after_in_seconds(text: str, seconds: float | None) -> None:
    """Numbers count, nonsense does not."""
    assert retry_after(text) == seconds


def test_retry_after_as_a_date() -> None:
    """A date in the future is the time until then, one in the past is now; any digits are read."""
    at = datetime.now(UTC) + timedelta(hours=1)
    assert 3500 < (retry_after(format_datetime(at, usegmt=True)) or 0) <= 3600
    assert retry_after("Mon, 23 Nov 2015 12:00:00 GMT") == 0
    assert retry_after("9" * 5000) == 999_999_999
