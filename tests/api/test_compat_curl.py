"""curl itself: the commands of the transcripts, and an image made without choosing a method."""

import asyncio
from pathlib import Path

import pytest

from tests import images
from tests.api import test_compat_cdi as cdi
from tests.api import test_compat_longhorn as longhorn
from tests.servers.recorded import Files
from tests.servers.running import config, running

SENDS = {
    "PUT, raw": ("-T", "{file}"),
    "POST, raw": ("--data-binary", "@{file}", "-H", "Content-Type: application/octet-stream"),
    "POST, urlencoded by its name": ("--data-binary", "@{file}"),
    "POST, form": ("-F", "file=@{file}"),
    "PUT, form": ("-X", "PUT", "-F", "chunk=@{file}"),
    "POST, chunked": ("-X", "POST", "-T", "-"),
}


@pytest.mark.parametrize("words", SENDS.values(), ids=list(SENDS))
async def test_curl_makes_an_image(tmp_path: Path, words: tuple[str, ...]) -> None:
    """200 or 202, and the very disk; the form's own lines are no part of it."""
    path = images.make("qcow2", tmp_path)
    async with running(config(tmp_path / "data")) as client:
        with path.open("rb") as file:
            done = await asyncio.create_subprocess_exec(
                *("curl", "-sS", "-f", "-o", "/dev/null"),
                *("-H", f"Authorization: Bearer {client.service.token}"),
                *(word.replace("{file}", str(path)) for word in words),
                f"{client.base}/v1/images/disk/content",
                stdin=file,
            )
            assert await done.wait() == 0
        image = await client.until("disk")
        assert image["status"]["phase"] == "Ready"
        made = client.data / "images" / client.files()[0]
        assert images.same(path, "qcow2", made, "qcow2")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files of the transcripts."""
    return Files(tmp_path_factory.mktemp("files"))


async def said(*words: str) -> list[str]:
    """Return what ``curl -v`` shows of the answers: the first lines, in order."""
    done = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-v", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, shown = await done.communicate()
    assert done.returncode == 0, shown
    lines = shown.decode("utf-8", "replace").splitlines()
    return [line[2:].strip() for line in lines if line.startswith("< HTTP/")]


CONTINUED, OK = "HTTP/1.1 100 Continue", "HTTP/1.1 200 OK"
SENT = {
    "/v1beta1/upload-async": ("-X", "POST", "-T", "{small.qcow2}"),
    "/v1beta1/upload": ("-X", "POST", "-T", "{small.raw}"),
    "/v1beta1/upload-form-async": ("-F", "file=@{small.qcow2}"),
    "/v1alpha1/upload-form": ("-F", "file=@{small.qcow2}"),
}


@pytest.mark.parametrize("path", SENT)
async def test_the_commands_that_uploaded_to_cdi(tmp_path: Path, files: Files, path: str) -> None:
    """The body is asked for once, after CDI has said yes; HEAD is answered as CDI does."""
    async with cdi.front(tmp_path) as there:
        url, token = there.client.base + path, f"Authorization: Bearer {there.signed()}"
        words = [filled(word, files) for word in SENT[path]]
        head = OK if path.endswith("async") else "HTTP/1.1 404 Not Found"
        assert await said("-I", "-H", token, url) == [head]
        assert await said("-H", token, *words, url) == [CONTINUED, OK]


async def test_a_body_that_cdi_does_not_want_is_not_asked_for(tmp_path: Path, files: Files) -> None:
    """Without a token, with a bad one, and while another upload runs: no 100 Continue."""
    async with cdi.front(tmp_path) as there:
        url, file = f"{there.client.base}/v1beta1/upload", str(files["small.qcow2"])
        sends = ("-X", "POST", "-T", file, url)
        assert await said(*sends) == ["HTTP/1.1 400 Bad Request"]
        assert await said("-H", "Authorization: Bearer abc", *sends) == [
            "HTTP/1.1 401 Unauthorized"
        ]
        there.server.uploading = True
        token = f"Authorization: Bearer {there.signed()}"
        assert await said("-H", token, *sends) == ["HTTP/1.1 503 Service Unavailable"]


async def test_the_command_that_uploaded_to_longhorn(tmp_path: Path, files: Files) -> None:
    """And the one whose field has the wrong name: it is asked for, for the form tells the name."""
    async with longhorn.front(tmp_path) as there:
        await there.made("disk")
        size = files["small.qcow2"].stat().st_size
        url = f"{there.client.base}/v1/backingimages/disk?action=upload&size={size}"
        token = ("-H", f"Authorization: Bearer {there.client.service.token}")
        broken = "HTTP/1.1 500 Internal Server Error"
        wrong = filled("file=@{small.qcow2}", files)
        assert await said(*token, "-F", wrong, url) == [CONTINUED, broken]
        right = filled("chunk=@{small.qcow2}", files)
        assert await said(*token, "-F", right, url) == [CONTINUED, OK]


def filled(word: str, files: Files) -> str:
    """Put the path of a file where *word* has its name in braces."""
    before, _, rest = word.partition("{")
    return f"{before}{files[rest.rstrip('}')]}" if rest else word
