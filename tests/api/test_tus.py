"""tus 1.0.0 (https://tus.io/protocols/resumable-upload): core and five extensions.

``test_tus_musts.py`` says which test is for which sentence of its text.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from tests import images
from tests.servers.running import Client, config, running
from tests.servers.tus import MEDIA, Tus, metadata

SIZE = 1 << 20


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A raw disk of 1 MiB."""
    return images.raw(tmp_path_factory.mktemp("tus") / "disk.raw", SIZE).read_bytes()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service on an empty directory, for files of 2 MiB at most and one page elsewhere."""
    settings = config(
        tmp_path / "data",
        limits={"image_size": 2 * SIZE},
        service={"origins": ["https://harvester.example"]},
    )
    async with running(settings) as client:
        yield client


@pytest.fixture
def tus(client: Client) -> Tus:
    """A client of it."""
    return Tus(client)


async def test_options_tell_what_is_spoken(tus: Tus) -> None:
    """Tus-Version is a list, Tus-Extension names the five, Tus-Max-Size is the limit."""
    for headers in ({}, {"Tus-Resumable": "0.1"}):
        tus.headers = headers  # OPTIONS is answered whatever the client speaks
        answer = await tus.ask("OPTIONS", "/v1/uploads")
        assert answer.status == 204
        assert answer.headers["Tus-Version"] == "1.0.0"
        assert set(answer.headers["Tus-Extension"].split(",")) == {
            *("creation", "creation-with-upload", "creation-defer-length"),
            *("expiration", "termination"),
        }
        assert answer.headers["Tus-Max-Size"] == str(2 * SIZE)


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.0, 0.2.2"])
async def test_another_version_is_refused(tus: Tus, disk: bytes, version: str | None) -> None:
    """412 with Tus-Version, and the request is not processed."""
    path = await tus.begun("disk", SIZE)
    tus.headers = {"Tus-Resumable": version} if version else {}
    answers = [
        await tus.create("other", SIZE),
        await tus.head(path),
        await tus.patch(path, 0, disk),
        await tus.ask("DELETE", path),
        await tus.ask("POST", path, X_HTTP_Method_Override="DELETE"),
    ]
    assert {answer.status for answer in answers} == {412}
    assert {answer.headers["Tus-Version"] for answer in answers} == {"1.0.0"}
    tus.headers = {"Tus-Resumable": "1.0.0"}
    assert (await tus.head(path)).offset == 0
    assert list(await tus.client.names()) == ["disk"]


async def test_every_answer_says_tus_resumable(tus: Tus, disk: bytes) -> None:
    """Successes and refusals alike, those without a token too."""
    path = await tus.begun("disk", SIZE)
    answers = [
        await tus.create("disk", 1),
        await tus.head(path),
        await tus.head("/v1/uploads/unknown"),
        await tus.patch(path, 5, disk),
        await tus.ask("GET", path),
        await tus.ask("HEAD", path, Authorization="Bearer wrong"),
        await tus.patch(path, 0, disk),
        await tus.ask("DELETE", path),
    ]
    assert [answer.status for answer in answers] == [409, 200, 404, 409, 405, 401, 204, 204]
    assert {answer.headers["Tus-Resumable"] for answer in answers} == {"1.0.0"}


async def test_head_tells_the_offset(tus: Tus, disk: bytes) -> None:
    """Upload-Offset even when 0 and when done, Upload-Length, no-store; 404 has no offset."""
    path = await tus.begun("disk", SIZE)
    for offset in (0, 1000, SIZE):
        if offset:
            at = (await tus.head(path)).offset
            assert (await tus.patch(path, at, disk[at:offset])).status == 204
        answer = await tus.head(path)
        assert (answer.status, answer.offset, answer.body) == (200, offset, b"")
        assert answer.headers["Upload-Length"] == str(SIZE)
        assert "no-store" in answer.headers["Cache-Control"]
        assert "Upload-Defer-Length" not in answer.headers
    missing = await tus.head("/v1/uploads/0123")
    assert missing.status == 404
    assert "Upload-Offset" not in missing.headers


async def test_a_wrong_offset_changes_nothing(tus: Tus, disk: bytes) -> None:
    """409 for an offset behind or before the upload's own, 400 for none or no number."""
    path = await tus.begun("disk", SIZE)
    assert (await tus.patch(path, 0, disk[:1000])).offset == 1000
    for offset in (0, 999, 1001, SIZE):
        assert (await tus.patch(path, offset, disk[offset:])).status == 409
    for wrong in ("-1", "+1000", "1e3", "01000", " ", "9" * 20):
        answer = await tus.ask("PATCH", path, disk, Content_Type=MEDIA, Upload_Offset=wrong)
        assert answer.status == 400
    assert (await tus.ask("PATCH", path, disk, Content_Type=MEDIA)).status == 400
    assert (await tus.head(path)).offset == 1000


async def test_another_content_type_is_refused(tus: Tus, disk: bytes) -> None:
    """415, and nothing of the body counts."""
    path = await tus.begun("disk", SIZE)
    kinds = ("application/octet-stream", "text/plain")
    answers = [await tus.patch(path, 0, disk, Content_Type=kind) for kind in kinds]
    assert {answer.status for answer in answers} == {415}
    assert (await tus.head(path)).offset == 0
    answer = await tus.ask(
        "POST",
        "/v1/uploads",
        disk,
        Upload_Length=str(SIZE),
        Upload_Metadata=metadata(name="other"),
        Content_Type="text/plain",
    )
    assert answer.status == 415
    assert list(await tus.client.names()) == ["disk"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_bytes_past_the_end_are_refused(tus: Tus, disk: bytes, chunked: bool) -> None:
    """More bytes than announced never reach the image; the right ones still do."""

    async def too_many() -> AsyncIterator[bytes]:
        yield disk + b"x"

    path = await tus.begun("disk", SIZE)
    answer = await tus.patch(path, 0, too_many() if chunked else disk + b"x")
    assert answer.status == 422
    at = (await tus.head(path)).offset
    assert at < SIZE
    assert (await tus.patch(path, at, disk[at:])).offset == SIZE


async def test_the_method_that_is_meant_counts(tus: Tus, disk: bytes) -> None:
    """X-HTTP-Method-Override wins over the request's own method."""
    path = await tus.begun("disk", SIZE)
    says: dict[str, Any] = {"Content_Type": MEDIA, "Upload_Offset": "0"}
    sent = await tus.ask("POST", path, disk[:1000], X_HTTP_Method_Override="PATCH", **says)
    assert (sent.status, sent.offset) == (204, 1000)
    asked = await tus.ask("POST", path, X_HTTP_Method_Override="HEAD")
    assert (asked.status, asked.offset) == (200, 1000)
    ended = await tus.ask("PATCH", path, X_HTTP_Method_Override="DELETE")
    assert ended.status == 204
    assert (await tus.head(path)).status == 404
    for meant in ("GET", "PUT", ""):
        assert (await tus.ask("POST", path, X_HTTP_Method_Override=meant)).status == 400


async def test_the_method_that_was_used_does_not_count(tus: Tus, disk: bytes) -> None:
    """Any method carries any other, at an upload and where uploads are made."""
    says: dict[str, Any] = {"Content_Type": MEDIA, "Upload_Offset": "0"}
    wants = {"Upload_Length": str(SIZE), "Upload_Metadata": metadata(name="disk")}
    made = await tus.ask("PUT", "/v1/uploads", X_HTTP_Method_Override="POST", **wants)
    assert made.status == 201
    path = "/v1/" + made.headers["Location"]
    assert (await tus.ask("GET", path, X_HTTP_Method_Override="HEAD")).offset == 0
    sent = await tus.ask("PUT", path, disk[:1000], X_HTTP_Method_Override="patch", **says)
    assert (sent.status, sent.offset) == (204, 1000)
    for method in ("POST", "GET", "HEAD"):
        told = await tus.ask(method, "/v1/uploads", X_HTTP_Method_Override="OPTIONS")
        assert (told.status, told.headers["Tus-Version"]) == (204, "1.0.0")
    wants["Upload_Metadata"] = metadata(name="other")
    for meant in ("PATCH", "GET", "DELETE"):
        refused = await tus.ask("POST", "/v1/uploads", X_HTTP_Method_Override=meant, **wants)
        assert refused.status == 400
    for method in ("GET", "PUT"):
        for place in (path, "/v1/uploads"):
            assert (await tus.ask(method, place)).status == 405
    assert (await tus.ask("OPTIONS", path, X_HTTP_Method_Override="DELETE")).status == 204
    assert await tus.client.names() == {}


@pytest.mark.parametrize("header", ["Upload-Concat", "Upload-Checksum"])
async def test_what_is_not_offered_is_not_passed_over(tus: Tus, disk: bytes, header: str) -> None:
    """A part is not taken for a whole file, nor a checksum for one that was compared."""
    path = await tus.begun("disk", SIZE)
    says = {header.replace("-", "_"): "partial" if header == "Upload-Concat" else "sha1 x"}
    wants = {"Upload_Length": str(SIZE), "Upload_Metadata": metadata(name="other")}
    refused = [
        await tus.patch(path, 0, disk, **says),
        await tus.ask("POST", "/v1/uploads", **wants, **says),
    ]
    assert {answer.status for answer in refused} == {400}
    assert (await tus.head(path)).offset == 0
    assert list(await tus.client.names()) == ["disk"]


async def test_creation(tus: Tus) -> None:
    """201 with Location and Upload-Expires; HEAD gives the metadata back as it was sent."""
    says = metadata(filename="My Disk.qcow2.xz", relativePath="") + ",is_confidential"
    answer = await tus.ask("POST", "/v1/uploads", Upload_Length=str(SIZE), Upload_Metadata=says)
    assert (answer.status, answer.offset) == (201, 0)
    assert "Upload-Expires" in answer.headers
    path = "/v1/" + answer.headers["Location"]
    assert (await tus.head(path)).headers["Upload-Metadata"] == says
    assert await tus.client.names() == {"my-disk": "Pending"}


async def test_a_creation_whose_answer_was_lost(tus: Tus, disk: bytes) -> None:
    """Asked for again in the same words it is the same upload, until its client has used it."""
    path = await tus.begun("disk", SIZE)
    assert await tus.begun("disk", SIZE) == path
    assert (await tus.create("disk", SIZE - 1)).status == 409
    assert (await tus.create("disk", SIZE, filename="other")).status == 409
    assert (await tus.patch(path, 0, disk[:1])).status == 204
    assert (await tus.create("disk", SIZE)).status == 409


async def test_a_creation_with_bytes_whose_answer_was_lost(tus: Tus, disk: bytes) -> None:
    """Asked for again in the same words it begins anew; nobody can go on with the first."""
    first = await tus.create("disk", SIZE, disk[:1000])
    again = await tus.create("disk", SIZE, disk[:2000])
    assert (again.status, again.offset) == (201, 2000)
    lost, path = ("/v1/" + answer.headers["Location"] for answer in (first, again))
    assert (await tus.head(lost)).status == 404
    assert (await tus.patch(path, 2000, disk[2000:])).offset == SIZE
    assert (await tus.client.until("disk"))["status"]["phase"] == "Ready"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Upload_Length": "-1"}, 400),
        ({"Upload_Length": "1.5"}, 400),
        ({"Upload_Length": "1", "Upload_Defer_Length": "1"}, 400),
        ({"Upload_Defer_Length": "0"}, 400),
        ({"Upload_Defer_Length": "2"}, 400),
        ({"Upload_Length": str(2 * SIZE + 1)}, 413),
        ({"Upload_Length": "9" * 18}, 413),
        ({"Upload_Length": "0"}, 422),
    ],
)
async def test_a_length_that_cannot_be(tus: Tus, headers: dict[str, str], status: int) -> None:
    """No image is made for it."""
    answer = await tus.ask("POST", "/v1/uploads", Upload_Metadata=metadata(name="disk"), **headers)
    assert answer.status == status
    assert await tus.client.names() == {}


@pytest.mark.parametrize(
    "says",
    [
        "",
        "name",
        "name !!!",
        "name /w==",
        " ZGlzaw==",
        "name ZGlzaw==,name ZGlzaw==",
        metadata(name="UPPER"),
        metadata(name="a" * 64),
        metadata(name="../../etc/passwd"),
        metadata(filename="....."),
        metadata(name="disk", namespace="no/way"),
        metadata(name="disk", checksum="sha256:short"),
        metadata(name="disk", checksum="http://169.254.169.254/SHA256SUMS"),
        metadata(name="disk", format="exe"),
        metadata(name="disk", storageClass=""),
        metadata(name="disk\r\nX: y"),
    ],
)
async def test_metadata_that_is_hostile(tus: Tus, says: str) -> None:
    """400, and no image is made."""
    answer = await tus.ask("POST", "/v1/uploads", Upload_Length="9", Upload_Metadata=says)
    assert answer.status == 400, answer
    assert await tus.client.names() == {}


@pytest.mark.parametrize("first", [1000, SIZE])
async def test_creation_with_upload(tus: Tus, disk: bytes, first: int) -> None:
    """The first bytes, or all, come with the creation; its answer tells the offset."""
    answer = await tus.create("disk", SIZE, disk[:first])
    assert (answer.status, answer.offset) == (201, first)
    if first < SIZE:
        await tus.patch("/v1/" + answer.headers["Location"], first, disk[first:])
    assert (await tus.client.until("disk"))["status"]["phase"] == "Ready"


@pytest.mark.parametrize(("name", "answer"), [("disk", b"100 Continue"), ("NO", b"400 ")])
async def test_creation_with_upload_is_refused_early(tus: Tus, name: str, answer: bytes) -> None:
    """A client that waits to be told so has sent no byte of a file that is not taken."""
    service = tus.client
    reader, writer = await asyncio.open_connection("127.0.0.1", service.base.rpartition(":")[2])
    lines = {
        "Host": "x",
        "Authorization": service.http.headers["Authorization"],
        "Tus-Resumable": "1.0.0",
        "Content-Type": MEDIA,
        "Content-Length": "1000",
        "Upload-Length": str(SIZE),
        "Upload-Metadata": metadata(name=name),
        "Expect": "100-continue",
    }
    head = "".join(f"{key}: {text}\r\n" for key, text in lines.items())
    writer.write(f"POST /v1/uploads HTTP/1.1\r\n{head}\r\n".encode())
    assert answer in await reader.readline()
    writer.close()


@pytest.mark.parametrize("told", ["with the last bytes", "at last, alone"])
async def test_creation_defer_length(tus: Tus, disk: bytes, told: str) -> None:
    """HEAD says that the length is open until it is told, which is once."""
    path = await tus.begun("disk", None)
    answer = await tus.head(path)
    assert answer.headers["Upload-Defer-Length"] == "1"
    assert "Upload-Length" not in answer.headers
    assert (await tus.patch(path, 0, disk[:1000])).offset == 1000
    for wrong, status in (("999", 422), (str(2 * SIZE + 1), 413), ("x", 400)):
        refused = await tus.patch(path, 1000, b"", Upload_Length=wrong)
        assert refused.status == status
    rest = disk[1000:]
    if told == "at last, alone":
        assert (await tus.patch(path, 1000, rest)).offset == SIZE
        rest = b""
    at = SIZE - len(rest)
    assert (await tus.patch(path, at, rest, Upload_Length=str(SIZE))).offset == SIZE
    answer = await tus.head(path)
    assert answer.headers["Upload-Length"] == str(SIZE)
    assert "Upload-Defer-Length" not in answer.headers
    assert (await tus.patch(path, SIZE, b"", Upload_Length=str(SIZE + 1))).status == 409
    assert (await tus.client.until("disk"))["status"]["phase"] == "Ready"


async def test_expiration(tus: Tus, disk: bytes) -> None:
    """Every answer to a PATCH of an upload that will expire says when, refusals too."""
    path = await tus.begun("disk", SIZE)
    for at, offset, status in ((0, 0, 204), (1000, 1000, 204), (2000, 5, 409), (2000, 2000, 204)):
        answer = await tus.patch(path, offset, disk[at : at + 1000])
        assert answer.status == status
        assert answer.headers["Upload-Expires"].endswith(" GMT")
        assert parsedate_to_datetime(answer.headers["Upload-Expires"]) > datetime.now(UTC)
    assert "Upload-Expires" not in (await tus.patch(path, 3000, disk[3000:])).headers
    assert "Upload-Expires" not in (await tus.head(path)).headers


async def test_termination(tus: Tus, disk: bytes) -> None:
    """204, nothing of the image is left, and every later request gets 404; a whole image stays."""
    path = await tus.begun("disk", SIZE)
    assert (await tus.patch(path, 0, disk[:-1])).status == 204
    assert (await tus.ask("DELETE", path)).status == 204
    assert (await tus.client.names(), tus.client.files()) == ({}, [])
    later = [await tus.head(path), await tus.patch(path, 0, disk), await tus.ask("DELETE", path)]
    assert {answer.status for answer in later} == {404}
    path = await tus.begun("disk", SIZE)
    assert (await tus.patch(path, 0, disk)).status == 204
    assert (await tus.client.until("disk"))["status"]["phase"] == "Ready"
    assert (await tus.ask("DELETE", path)).status == 204
    assert await tus.client.names() == {"disk": "Ready"}


async def test_pages_of_configured_origins_may_upload(tus: Tus) -> None:
    """A preflight needs no token and names every header of tus; other origins get nothing."""
    ours, asks = "https://harvester.example", {"Access_Control_Request_Method": "PATCH"}
    tus.headers = {"Authorization": ""}
    answer = await tus.ask("OPTIONS", "/v1/uploads/x", Origin=ours, **asks)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ours
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    for name in ("Upload-Offset", "Upload-Metadata", "Tus-Resumable", "Authorization"):
        assert name in answer.headers["Access-Control-Allow-Headers"]
    assert "Upload-Offset" in answer.headers["Access-Control-Expose-Headers"]
    other = await tus.ask("OPTIONS", "/v1/uploads/x", Origin="https://evil.example", **asks)
    assert other.status == 403
    assert "Access-Control-Allow-Origin" not in other.headers
    real = await tus.ask("HEAD", "/v1/uploads/x", Origin=ours)
    assert (real.status, real.headers["Access-Control-Allow-Origin"]) == (401, ours)


async def test_uploads_of_one_address_are_bounded(tmp_path: Path) -> None:
    """One more than [upload] per_client is refused with 429 until another ends."""
    async with running(config(tmp_path / "data", upload={"per_client": 2})) as client:
        tus = Tus(client)
        first = await tus.begun("disk-0", SIZE)
        await tus.begun("disk-1", SIZE)
        assert (await tus.create("disk-2", SIZE)).status == 429
        assert (await tus.ask("DELETE", first)).status == 204
        assert (await tus.create("disk-2", SIZE)).status == 201
