"""How the command line shows what a target does: its words, as text, and how far it is."""

import pytest
from rich.console import Console

from importer.cli.display import print_image
from importer.cli.progress import Bar, Lines, bars
from importer.model import Image, Phase, Progress, Spec, Status, UploadSource, now

HOSTILE = "no room\x1b[2J on \u202enode\n"


def image(doing: str | None, progress: Progress | None, phase: Phase = Phase.PROCESSING) -> Image:
    """Return an image that a target works on."""
    status = Status(phase=phase, doing=doing, progress=progress)
    return Image(name="disk", created_at=now(), spec=Spec(source=UploadSource()), status=status)


def far(done: int) -> Progress:
    return Progress(done=done, total=100)


def test_plain_lines_say_what_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each thing that the target says, and none for saying it again."""
    lines = Lines()
    for one in (
        image(None, None, Phase.PREPARING),
        image("pod p is Pending", None, Phase.PREPARING),
        image("pod p is Pending", None, Phase.PREPARING),
        image("Longhorn: in-progress", far(40)),
        image("Longhorn: in-progress", far(80)),
    ):
        lines.image(one)
    assert capsys.readouterr().err.splitlines() == [
        "Preparing",
        "Preparing: pod p is Pending",
        "Processing: Longhorn: in-progress, 40 %",
        "Processing: Longhorn: in-progress, 80 %",
    ]


@pytest.mark.parametrize("done", [0, 40, 100, 250])
def test_details_have_percent(capsys: pytest.CaptureFixture[str], done: int) -> None:
    """What a target counts is shown as a share of the whole, never as bytes."""
    print_image(image("Longhorn: in-progress", far(done)))
    out = capsys.readouterr().out
    assert "doing:          Longhorn: in-progress" in out
    assert f"progress:       {min(done, 100)} %\n" in out


def test_bar_has_the_words_in_place_of_bytes() -> None:
    """A terminal's line says what the target says, and counts no bytes of what are none."""
    console = Console(width=100, record=True)
    with bars(console) as progress:
        bar = Bar(progress)
        bar.image(image("Longhorn: in-progress", far(40)))
        console.print(progress.get_renderable())
        bar.phase("Uploading", 512, 1024)
        console.print(progress.get_renderable())
    shown = console.export_text()
    working = next(line for line in shown.splitlines() if "in-progress, 40 %" in line)
    assert "bytes" not in working
    assert "0.5/1.0 KiB" in shown


def test_words_of_strangers_do_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """An event's or a pod's message moves no cursor, on any of the faces."""
    hostile = image(HOSTILE, None)
    print_image(hostile)
    Lines().image(hostile)
    console = Console(width=100, record=True)
    with bars(console) as progress:
        Bar(progress).image(hostile)
        console.print(progress.get_renderable())
    printed = capsys.readouterr()
    for text in (printed.out, printed.err, console.export_text()):
        assert "no room\\x1b[2J on \\u202enode" in text
        assert "\u202e" not in text
        assert "\x1b[2J" not in text
