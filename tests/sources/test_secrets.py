"""What is shown of a URL."""

import pytest

from importer.sources.secrets import shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://images.example/disk", "https://images.example/disk"),
        ("https://u:p@images.example/disk#x", "https://images.example/disk"),
        ("https://images.example/disk?a=1&b=2&a=3", "https://images.example/disk?a=***&b=***"),
        (
            "https://b.s3.amazonaws.com/k?versionId=v&X-Amz-Algorithm=A&X-Amz-Credential=C"
            "&X-Amz-Security-Token=T&X-Amz-Signature=S",
            "https://b.s3.amazonaws.com/k?versionId=***&X-Amz-Signature=***",
        ),
        ("http://[", "(a URL that cannot be read)"),
    ],
)
def test_names_stay_and_values_go(url: str, expected: str) -> None:
    """Neither user, password, fragment nor any value of the query; a signature is one word."""
    assert shown(url) == expected
