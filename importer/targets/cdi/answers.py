"""What CDI means by what it says: its upload server's texts and its pods' last words.

Its words mislead. Every failure of ``qemu-img info`` is called "larger than the reported available
storage" with status 400 (CDI: data-processor.go:265-272); the reason is in the tail.
"""

import re

from importer.errors import (
    CorruptImage,
    ImporterError,
    NoSpace,
    TargetError,
    TargetUnavailable,
    UnsafeImage,
)
from importer.targets.remote import Answer

_BLAME = "effective image size is larger than the reported available storage: "
_SAVING = "Saving stream failed: "
_SIZES = re.compile(r"virtual image size (\d+) is larger than the reported available storage (\d+)")
_FULL = ("no space left on device", "disk quota exceeded", "too small to contain image")
_KILLED = ("signal: killed", "OOMKilled", "cannot allocate memory")
_BROKE = ("unexpected EOF", "stream error", "connection reset", "client disconnected")


def failure(who: str, text: str, as_is: bool) -> ImporterError:
    """Return what *text*, a failure in CDI's words, is an error of.

    *who* it is about. *as_is*: CDI got the image's own bytes, so qemu-img's complaints are the
    image's; otherwise bytes of our making, and they are not.
    """
    text = text.replace(_SAVING, "").replace(_BLAME, "")
    if sizes := _SIZES.search(text):
        disk, room = sizes.groups()
        return NoSpace(f"{who}: the disk has {disk} bytes, the volume has room for {room}")
    if any(words in text for words in _FULL):
        return NoSpace(f"{who}: the volume is full: {text}")
    if any(words in text for words in _KILLED):
        return TargetUnavailable(f"{who}: CDI's pod had too little memory: {text}")
    if "backing file" in text:
        return UnsafeImage(f"{who}: {text}")
    if any(words in text for words in _BROKE):
        return TargetUnavailable(f"{who}: {text}")
    if as_is and ("qemu-img" in text or "Invalid format" in text):
        return CorruptImage(f"{who}: CDI's qemu-img does not read the image: {text}")
    return TargetError(f"{who}: {text}")


def page(who: str, answer: Answer) -> TargetError:
    """Return the error for an HTML page: CDI makes none, so it is of something before it."""
    told = f"{who}: something in front of it answered {answer.status} {answer.words}"
    if answer.status == 413:
        return TargetError(
            f"{told}: it takes no body of this size; raise its limit, or let [cdi] url name the "
            "proxy's own service"
        )
    if answer.status >= 500 or answer.status in (408, 429):
        return TargetUnavailable(f"{told}: see its log and timeouts, or let [cdi] url go round it")
    return TargetError(f"{told}: is [cdi] url CDI's upload proxy?")
