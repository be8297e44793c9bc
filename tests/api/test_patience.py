"""An upload whose target works on after the last byte is answered all the same."""

from pathlib import Path

from tests import images
from tests.servers.running import config, running
from tests.targets.longhorn import longhorn_member


async def test_an_upload_is_answered_while_the_target_works(tmp_path: Path) -> None:
    """After `[upload] patience` the answer is 202; the image is Processing, then Ready."""
    path = images.make("qcow2", tmp_path)
    settings = config(tmp_path / "data", upload={"patience": 0.0})
    async with (
        longhorn_member(tmp_path) as member,
        running(settings, {"fast": member.shelf}) as client,
    ):
        member.longhorn.transferring.clear()
        status, image = await client.put("disk", path.read_bytes())
        assert status == 202
        assert image["status"]["phase"] in ("Transferring", "Processing")
        await client.until("disk", "Processing")
        member.longhorn.transferring.set()
        image = await client.until("disk")
        assert (image["status"]["phase"], image["status"]["error"]) == ("Ready", None)
