"""What the tests of copies share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.copies.stage import Stage, stage


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Stage]:
    """A service that has looked at an empty cluster."""
    async with stage(tmp_path) as one:
        yield one
