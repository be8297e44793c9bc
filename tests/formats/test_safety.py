"""importer/formats/safety.py."""

import contextlib
import logging
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.errors import CorruptImage, ImageError, UnsafeImage, UnsupportedImage
from importer.formats import safety
from importer.formats.inspect import HEAD
from importer.formats.vmdk import TAIL
from importer.model import Format
from importer.units import KiB, MiB
from tests import images

Ends = tuple[bytes, bytes]
"""The first MiB of an image and its last 1536 bytes."""


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ends]:
    """Both ends of an image of every kind."""
    folder = tmp_path_factory.mktemp("kinds")
    return {kind: ends(images.make(kind, folder, 4 * MiB)) for kind in images.KINDS}


def ends(path: Path) -> Ends:
    data = path.read_bytes()
    return data[:HEAD], data[-TAIL:]


@pytest.mark.parametrize("kind", images.KINDS)
def test_every_kind_is_safe(kind: str, kinds: dict[str, Ends]) -> None:
    """What qemu-img makes is safe by its head alone and with its tail."""
    head, tail = kinds[kind]
    # A fixed VHD is a raw disk with a footer: only the tail's reader knows.
    expected = Format.RAW if kind == "vpc-fixed" else Format(images.KINDS[kind][0])
    assert safety.check(head) is expected
    assert safety.check(head, tail) is expected


def test_a_boot_sector_without_partitions_is_safe() -> None:
    """oslo calls it a broken partition table; what a guest makes of it is the guest's matter."""
    sector = bytearray(bytes(range(256)) * 2)
    sector[510:] = b"\x55\xaa"
    assert safety.check(bytes(sector) + bytes(MiB)) is Format.RAW


def test_extended_l2_is_safe_though_oslo_does_not_know_it(kinds: dict[str, Ends]) -> None:
    """Features are judged by today's qemu-img, not by oslo's list."""
    assert safety.check(kinds["qcow2-extended"][0]) is Format.QCOW2


def with_descriptor(head: bytes, old: bytes, new: bytes) -> bytes:
    """Return a VMDK's *head* with other text in its embedded descriptor."""
    assert old in head
    start = head.index(b"# Disk DescriptorFile")
    text = head[start : head.index(b"\0", start)]
    changed = text.replace(old, new)
    room = 20 * 512
    return head[:start] + changed.ljust(room, b"\0")[:room] + head[start + room :]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"monolithicSparse", b"monolithicFlat", "monolithicflat"),
        (b"monolithicSparse", b"twoGbMaxExtentSparse", "twogbmaxextentsparse"),
        (b"monolithicSparse", b"fullDevice", "fulldevice"),
        (b"monolithicSparse", b"custom", "custom"),
        (b'SPARSE "', b'FLAT "', "extents are flat"),
        (b'SPARSE "', b'VMFS "', "extents are vmfs"),
        (b'SPARSE "', b'SPARSE "/etc/', "not safe"),
        (b"RW ", b'RW 2048 FLAT "/etc/shadow" 0\nRW ', "flat, sparse"),
        (b"RW ", b'  RW 2048 FLAT "passwd" 0\nRW ', "flat, sparse"),
        (b"RW ", b'RW\n2048\nFLAT "passwd" 0\nRW ', "flat, sparse"),
        (b"RW ", b"XX ", "missing"),
        (b"parentCID=ffffffff", b"parentCID=12345678", "snapshot"),
        (b"parentCID=ffffffff", b"parentCID=ffffffff\nparentFileNameHint=/etc/shadow", "parent"),
        (b"# Extent", b"some nonsense\n# Extent", "not safe"),
    ],
)
def test_a_vmdk_that_points_elsewhere_is_unsafe(
    old: bytes, new: bytes, said: str, kinds: dict[str, Ends]
) -> None:
    """Whatever its descriptor says, a VMDK is the one file that came."""
    head, tail = kinds["vmdk"]
    with pytest.raises(UnsafeImage, match=said):
        safety.check(with_descriptor(head, old, new), tail)


def test_a_vmdk_footer_that_differs_from_its_header_is_unsafe(kinds: dict[str, Ends]) -> None:
    """The footer wins over the header in qemu, so it must say the same."""
    head = bytearray(kinds["vmdk-stream"][0])
    head[56:64] = b"\xff" * 8  # The grain directory is at the end: look at the footer.
    footer = bytearray(head[:512])
    footer[56:64] = struct.pack("<Q", 128)
    marker = struct.pack("<QII496x", 1, 0, 3)
    assert safety.check(bytes(head), marker + footer + bytes(512)) is Format.VMDK
    footer[28:36] = struct.pack("<Q", 4711)  # A descriptor elsewhere.
    with pytest.raises(UnsafeImage, match="different descriptor"):
        safety.check(bytes(head), marker + footer + bytes(512))


def vhd_of_kind(head: bytes, kind: int) -> bytes:
    """Return a VHD's *head* with another disk type, and a checksum that is right."""
    footer = bytearray(head[:512])
    footer[60:68] = struct.pack(">II", kind, 0)
    footer[64:68] = struct.pack(">I", ~sum(footer) & 0xFFFFFFFF)
    return bytes(footer) + head[512:]


def test_a_differencing_vhd_is_unsafe(kinds: dict[str, Ends]) -> None:
    """A VHD may be only what differs from another file."""
    with pytest.raises(UnsafeImage, match="differencing"):
        safety.check(vhd_of_kind(kinds["vpc"][0], 4))


def test_a_vhd_of_unknown_type_or_checksum_is_corrupt(kinds: dict[str, Ends]) -> None:
    """The two numbers that make a VHD's header one are looked at."""
    head = kinds["vpc"][0]
    with pytest.raises(CorruptImage, match="type is 5"):
        safety.check(vhd_of_kind(head, 5))
    with pytest.raises(CorruptImage, match="checksum"):
        safety.check(head[:100] + b"\xff" + head[101:])


@pytest.mark.parametrize(("offset", "data"), [(76, b"\4\0\0\0"), (440, b"\1"), (456, b"\1")])
def test_a_vdi_made_on_another_is_unsafe(offset: int, data: bytes, kinds: dict[str, Ends]) -> None:
    """A VDI's type, and the two places where it names its parent."""
    head = bytearray(kinds["vdi"][0])
    head[offset : offset + len(data)] = data
    with pytest.raises(UnsafeImage, match="on top of another"):
        safety.check(bytes(head))


@pytest.mark.parametrize(
    ("kind", "offset", "magic"),
    [
        ("qcow2", 32769, b"CD001"),
        ("qcow2", 64, b"\x7f\x10\xda\xbe"),
        ("vdi", 0, b"QED\0"),
        ("vdi", 510, b"\x55\xaa"),
    ],
)
def test_what_is_two_formats_at_once_is_refused(
    kind: str, offset: int, magic: bytes, kinds: dict[str, Ends]
) -> None:
    """A file that two readers would take for different things is not passed on."""
    head = bytearray(kinds[kind][0])
    head[offset : offset + len(magic)] = magic
    with pytest.raises((UnsafeImage, UnsupportedImage)):
        safety.check(bytes(head))


def test_what_breaks_the_checker_is_unsafe() -> None:
    """A text head with a partition table behind it trips oslo; that is no way past the check."""
    head = b"createType=\n".ljust(512) + b"EFI PART" + b"\xff" * (64 * KiB)
    with pytest.raises(UnsafeImage, match="cannot be checked"):
        safety.check(head)


@pytest.mark.parametrize("old", [b"monolithicSparse", b"SPARSE"])
def test_hostile_text_does_not_fill_the_message(old: bytes, kinds: dict[str, Ends]) -> None:
    """A refusal quotes a few words of a descriptor, not all of it."""
    with pytest.raises(UnsafeImage, match="xxxxxxxx") as refusal:
        safety.check(with_descriptor(kinds["vmdk"][0], old, b"x" * 5000))
    assert len(str(refusal.value)) < 500


def test_hostile_text_does_not_reach_the_log(
    kinds: dict[str, Ends], caplog: pytest.LogCaptureFixture
) -> None:
    """oslo would log each line that it does not like; the refusal says enough."""
    head = with_descriptor(kinds["vmdk"][0], b"# Extent", b"forged log line\n# Extent")
    with caplog.at_level(logging.DEBUG), pytest.raises(UnsafeImage):
        safety.check(head)
    assert "forged" not in caplog.text


EDITS = st.lists(
    st.tuples(
        st.one_of(
            st.integers(0, 520),
            st.integers(500, 4096),
            st.integers(192 * KiB, 192 * KiB + 128),
            st.integers(32768, 32900),
        ),
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\x7f\xff\xff\xff", b"CD001", b"EFI PART"]),
        ),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("kind", images.KINDS)
@given(edits=EDITS, cut=st.one_of(st.none(), st.integers(0, MiB)))
def test_damage_to_a_head_is_a_refusal_or_a_format(
    kind: str, kinds: dict[str, Ends], edits: list[tuple[int, bytes]], cut: int | None
) -> None:
    """Whatever a hostile head holds, the answer is a format or an error with a name."""
    head = bytearray(kinds[kind][0])
    for offset, data in edits:
        head[offset : offset + len(data)] = data
    with contextlib.suppress(ImageError):
        assert safety.check(bytes(head[:cut]), kinds[kind][1]) in Format
