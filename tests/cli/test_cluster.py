"""The command line and a cluster: what it sends is taken, and options reach the objects."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.cli.access import Access
from importer.cli.client import Client as CliClient
from importer.cli.exits import Refused
from importer.cli.plan import plan_file
from importer.cli.session import Session
from importer.config import Limits
from importer.config import QemuImg as QemuImgSettings
from importer.errors import UnsupportedImage
from importer.formats.inspect import inspect_readable
from importer.formats.qemu_img import QemuImg
from importer.model import WantedFormat, Wire
from importer.stream.readable import FileReadable
from tests import images
from tests.api.test_cluster import Both, settings
from tests.cli.command import Ran, importer
from tests.cli.terminal import terminal
from tests.cli.test_upload import upload
from tests.servers.running import running
from tests.servers.site import site
from tests.servers.web import WebServer

MiB = 1 << 20

FORMS: list[tuple[str, str, WantedFormat | None, Wire, Wire]] = [
    ("longhorn", "sparse", None, "qcow2", "as-is"),
    ("longhorn", "sparse", "raw", "as-is", "as-is"),
    ("longhorn", "dense", None, "as-is", "as-is"),
    ("longhorn", "dense", "qcow2", "qcow2", "as-is"),
    ("longhorn", "qcow2", None, "as-is", "as-is"),
    ("longhorn", "qcow2-zlib", None, "as-is", "as-is"),
    ("longhorn", "qcow2-zstd", None, "as-is", "qcow2"),
    ("longhorn", "qcow2-extended", None, "as-is", "qcow2"),
    ("longhorn", "vmdk", None, "as-is", "qcow2"),
    ("longhorn", "vmdk", "raw", "as-is", "as-is"),
    ("longhorn", "xz", None, "as-is", "qcow2"),
    ("longhorn-v2", "sparse", None, "raw+zstd", "raw+zstd"),
    ("longhorn-v2", "dense", None, "as-is", "as-is"),
    ("longhorn-v2", "qcow2", None, "as-is", "as-is"),
    ("longhorn-v2", "qcow2-zstd", None, "as-is", "as-is"),
    ("longhorn-v2", "qcow2-extended", None, "raw+zstd", "raw+zstd"),
    ("longhorn-v2", "vmdk", None, "as-is", "as-is"),
]
"""Class, file, format that is asked for, what the client sends, and what the service sends on."""


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    async with (
        site(tmp_path / "site") as cluster,
        running(settings(tmp_path / "data", cluster)) as client,
    ):
        yield Both(client, cluster, tmp_path)


def made(kind: str, folder: Path) -> tuple[Path, Path, str]:
    """Return a file, and the disk image in it with its format."""
    size = 64 * MiB
    disk = images.raw(folder / "disk.raw", size, size if kind == "dense" else 4 * MiB)
    if kind in ("sparse", "dense"):
        return disk, disk, "raw"
    if kind == "xz":
        return images.compressed(disk, "xz"), disk, "raw"
    path = images.make(kind, folder)
    return path, path, images.KINDS[kind][0]


def where(both: Both) -> tuple[str, ...]:
    """Return the options that name the service."""
    return "--server", both.client.base, "--data", str(both.client.data)


async def command(both: Both, *words: str | Path) -> Ran:
    """Run ``importer`` with *words* for the service."""
    return await importer(*map(str, words), *where(both))


async def planned(both: Both, path: Path, place: str, wanted: WantedFormat | None) -> Wire:
    """Return what ``importer plan`` says of *path*."""
    async with CliClient(Access(both.client.base, data=both.client.data)) as client:
        session = Session(client, as_json=False, namespace=None)
        info = await inspect_readable(FileReadable(path), QemuImg(QemuImgSettings()), Limits())
        return (await plan_file(session, path, info, place, wanted)).plan.wire


@pytest.mark.parametrize(("place", "kind", "wanted", "sent", "wire"), FORMS)
async def test_what_is_sent_is_taken(
    both: Both,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    place: str,
    kind: str,
    wanted: WantedFormat | None,
    sent: Wire,
    wire: Wire,
) -> None:
    """Whatever form the client plans and sends, the class gets the same disk, and tells of the
    file."""
    path, disk, format = made(kind, tmp_path)
    assert await planned(both, path, place, wanted) == sent
    await upload(both.client, path, storage_class=place, format=wanted)
    image = await both.client.image("disk")
    status = image["status"]
    said = capsys.readouterr().out
    assert (f" sent as {sent}" in said) if sent != "as-is" else ("sent as" not in said)
    assert (status["plan"]["wire"], status["size"]) == (wire, path.stat().st_size)
    assert status["format"] == format
    assert images.same(disk, format, *both.made(image))


@pytest.mark.parametrize(
    ("place", "kind", "wanted"),
    [("longhorn", "qcow2", "raw"), ("longhorn-v2", "sparse", "qcow2")],
)
async def test_what_no_form_can_do_is_refused_here(
    both: Both, tmp_path: Path, place: str, kind: str, wanted: WantedFormat
) -> None:
    """The client sends nothing of it; the service would have refused it as well."""
    path = made(kind, tmp_path)[0]
    with pytest.raises(UnsupportedImage):
        await upload(both.client, path, storage_class=place, format=wanted)
    with pytest.raises(Refused, match="no form of this"):
        await upload(both.client, path, as_is=True, storage_class=place, format=wanted)
    assert both.left() == []


async def test_options_reach_a_backing_image(both: Both, tmp_path: Path) -> None:
    """JSON and text behind --target are fields of the object that is made."""
    path = made("sparse", tmp_path)[0]
    options = ("--target", "copies=2", "--target", 'diskSelector=["ssd"]')
    ran = await command(both, "upload", path, "--storage-class", "longhorn", *options)
    assert (ran.code, ran.err.count("error")) == (0, 0), ran.err
    (found,) = both.site.kubernetes.all("backingimages")
    assert found["spec"]["minNumberOfCopies"] == 2
    assert found["spec"]["diskSelector"] == ["ssd"]
    assert (await both.client.image("disk"))["spec"]["target"] == {
        "copies": 2,
        "diskSelector": ["ssd"],
    }


async def test_options_reach_a_data_volume(both: Both, tmp_path: Path) -> None:
    """An import takes them as an upload does."""
    options = ("--target", "volumeMode=Filesystem", "--target", "preallocation=true")
    async with WebServer(made("qcow2", tmp_path)[0]) as web:
        words = (web.url("/disk.qcow2"), "--storage-class", "ceph", *options)
        ran = await command(both, "import", *words)
    assert ran.code == 0, ran.err
    (found,) = both.site.kubernetes.all("datavolumes")
    assert found["spec"]["storage"]["volumeMode"] == "Filesystem"
    assert found["spec"]["preallocation"] is True


@pytest.mark.parametrize(
    ("option", "code", "said"),
    [
        ("copies", 2, "give KEY=VALUE"),
        ("=2", 2, "give KEY=VALUE"),
        ("copies=many", 1, "spec.target.copies: Expected `int"),
        ("numberOfCopies=2", 1, "spec.target.numberOfCopies: a Longhorn class knows copies"),
    ],
)
async def test_options_that_are_none(
    both: Both, tmp_path: Path, option: str, code: int, said: str
) -> None:
    """They are refused before a byte is sent, with what is known instead."""
    path = made("sparse", tmp_path)[0]
    ran = await command(both, "upload", path, "--storage-class", "longhorn", "--target", option)
    assert ran.code == code
    assert said in ran.err
    assert both.left() == []
    assert await both.client.names() == {}


async def test_options_of_an_image_that_waits(both: Both) -> None:
    """An upload may repeat the options that its image has, and name no others."""
    spec = {"source": {"type": "upload"}, "storageClass": "longhorn", "target": {"copies": 2}}
    await both.client.ask("POST", "/v1/images", json={"name": "disk", "spec": spec})
    for target in ('{"copies": 3}', "{", "[]", "[" * 2000):
        status, answer = await both.client.put("disk", bytes(MiB), target=target)
        assert (status, answer["error"]["slug"]) == (400, "bad-request")
    status, image = await both.client.put("disk", bytes(MiB), target='{"copies": 2}')
    assert (status, image["status"]["phase"]) == (200, "Ready")


async def test_a_terminal_shows_what_is_waited_for(tmp_path: Path) -> None:
    """`watch` and `show` have the scheduler's words, as long as they are true."""
    path = made("qcow2", tmp_path)[0]
    async with (
        site(tmp_path / "site", longhorn={"unschedulable": "no node has room"}) as cluster,
        running(settings(tmp_path / "data", cluster)) as client,
        WebServer(path) as web,
    ):
        both = Both(client, cluster, tmp_path)
        await client.fetch("disk", web.url(), storageClass="longhorn")
        async with terminal("watch", "disk", *where(both)) as watching:
            await watching.until("Unschedulable: no node has room")
            shown = await command(both, "show", "disk")
            assert "Unschedulable: no node has room" in shown.out
            cluster.longhorn.scheduling.set()
            await client.until("disk")
            assert await watching.process.wait() == 0
        assert "doing:" not in (await command(both, "show", "disk")).out
