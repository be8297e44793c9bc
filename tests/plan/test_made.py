"""Objects that are there already: what can be sent at once is."""

import pytest

from importer.errors import UnsupportedImage
from importer.model import Compression, Format, Rates
from importer.plan import Reach, Subject, choose, road
from importer.targets.backingimage import existing
from importer.targets.backingimage.shelf import ACCEPTS as NEW_IMAGE
from importer.targets.cdi import claim
from importer.targets.cdi.shelf import ACCEPTS as NEW_VOLUME

GiB = 1 << 30
PACKED = Subject(Format.RAW, "gzip", GiB)
QCOW2 = Subject(Format.QCOW2, None, GiB, 8 * GiB)


def test_the_size_of_a_disk_need_not_be_known() -> None:
    """A compressed disk goes on as it comes; for a volume that is still to be made it cannot."""
    there = road(PACKED, Reach(), claim.ACCEPTS, Rates(), once=True)
    assert (there.choice.plan.wire, there.spools) == ("as-is", False)
    assert road(PACKED, Reach(), NEW_VOLUME, Rates(), once=True).spools
    with pytest.raises(UnsupportedImage, match="virtual size"):
        choose(PACKED, Reach(), NEW_VOLUME, Rates())


def test_longhorns_pod_is_not_kept_waiting() -> None:
    """A qcow2 goes at once; for a BackingImage of our own it is put down and looked through."""
    there = road(QCOW2, Reach(), existing.ACCEPTS, Rates(), once=True)
    assert (there.choice.plan.wire, there.spools) == ("as-is", False)
    assert road(QCOW2, Reach(), NEW_IMAGE, Rates(), once=True).spools


@pytest.mark.parametrize("format", [Format.VMDK, Format.VPC, Format.VDI])
@pytest.mark.parametrize("packed", [None, "gzip"])
def test_what_cannot_be_sent_at_once_is_put_down(
    format: Format, packed: Compression | None
) -> None:
    """Longhorn knows raw and qcow2 alone, and must be told how many bytes come."""
    subject = Subject(format, packed, GiB, 8 * GiB)
    assert road(subject, Reach(), existing.ACCEPTS, Rates(), once=True).spools
