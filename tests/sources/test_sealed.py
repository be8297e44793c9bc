"""What is secret of a source is shown to nobody, and is there again when it is needed."""

from pathlib import Path

import msgspec
import pytest

from importer.errors import ImporterError
from importer.model import S3Source, Source, UploadSource, UrlSource
from importer.sources.sealed import open_source, public, seal_source
from importer.sources.secrets import Seal

SOURCES = [
    UrlSource(url="https://user:SECRET@images.example/disk?sig=SECRET"),
    UrlSource(url="https://images.example/disk", headers={"Authorization": "Bearer SECRET"}),
    S3Source(
        url="s3://images/k",
        region="eu-west-1",
        access_key_id="SECRET1",
        secret_access_key="SECRET2",
        session_token="SECRET3",
    ),
]
OPEN = [
    UrlSource(url="https://images.example/disk", insecure=True),
    UrlSource(url="https://images.example/disk", ca="-----BEGIN CERTIFICATE-----"),
    S3Source(url="s3://images/k", endpoint="https://minio.example", anonymous=True),
    UploadSource(),
]


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    return Seal(tmp_path / "key")


@pytest.mark.parametrize("source", SOURCES)
def test_secrets_are_hidden_and_come_back(source: Source, seal: Seal) -> None:
    """Neither what is shown nor what is stored has them; opened, all is as it was."""
    shown, sealed = public(source), seal_source(source, seal)
    assert sealed is not None
    assert b"SECRET" not in msgspec.json.encode(shown)
    assert b"SECRET" not in sealed
    assert open_source(shown, sealed, seal) == source


@pytest.mark.parametrize("source", OPEN)
def test_what_has_no_secret_is_kept_as_it_is(source: Source, seal: Seal) -> None:
    """It is shown whole, and needs no key to be read again."""
    assert public(source) == source
    assert seal_source(source, seal) is None
    assert open_source(source, None, seal) == source


def test_a_url_that_was_sealed_alone_is_opened(seal: Seal) -> None:
    """Version 0.1 sealed no more than the URL; its images can still be tried again."""
    url = "https://images.example/disk?sig=SECRET"
    assert open_source(UrlSource(url="x"), seal.seal(url), seal) == UrlSource(url=url)


def test_another_key_opens_nothing(seal: Seal, tmp_path: Path) -> None:
    """A key that was replaced is said, and nothing of what was sealed."""
    sealed = seal_source(SOURCES[0], seal)
    with pytest.raises(ImporterError, match="DATA/key"):
        open_source(SOURCES[0], sealed, Seal(tmp_path / "other"))
