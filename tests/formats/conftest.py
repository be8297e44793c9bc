"""What the tests of formats have in common."""

import pytest

from importer import config
from importer.formats.disks import Disks
from importer.formats.qemu_img import QemuImg


@pytest.fixture
def limits() -> config.Limits:
    return config.Limits()


@pytest.fixture
def qemu_img() -> QemuImg:
    return QemuImg(config.QemuImg())


@pytest.fixture
def disks(qemu_img: QemuImg, limits: config.Limits) -> Disks:
    return Disks(qemu_img, limits)
