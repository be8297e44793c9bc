"""Results for people: one line, a table, or the details of an image."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from importer.cli.safe import plain
from importer.model import AT_TARGET, Image, ImageInfo, Phase, Progress, StorageClass
from importer.units import human


def result_line(image: Image, sent: str = "") -> str:
    """Return what was made of an image: format, sizes, seconds, rate, checksum and place.

    *sent*: what travelled, where that is not the file as it is.
    """
    status = image.status
    words = [
        _format(status.format, status.compression),
        f"virtual size {_size(status.virtual_size)}",
    ]
    words += [f"size {_size(status.size)}", *([sent] if sent else []), f"{seconds(image):.1f} s"]
    if status.size and seconds(image):
        words.append(f"{status.size / seconds(image) / 1e6:.1f} MB/s")
    if "sha256" in status.checksums:
        words.append(f"sha256 {status.checksums['sha256']}")
    if status.target:
        words.append(f"{status.target.kind} {status.target.name}")
    return plain(f"{image.name}: " + ", ".join(words))


def seconds(image: Image) -> float:
    """Return how long the work on *image* took, without the time it waited for its turn."""
    return sum(p.seconds or 0.0 for p in image.status.phases if p.name != Phase.PENDING)


def info_line(info: ImageInfo) -> str:
    """Return what an image is."""
    sizes = f"virtual size {_size(info.virtual_size)}, size {_size(info.size)}"
    return f"{_format(info.format, info.compression)}, {sizes}"


def print_images(images: list[Image]) -> None:
    """Print a table of images."""
    rows = [
        (
            image.name if image.namespace == "default" else f"{image.namespace}/{image.name}",
            image.phase.value,
            image.spec.storage_class or "",
            image.status.format or "",
            _short(image.status.virtual_size),
            _short(image.status.size),
            f"{image.created_at:%Y-%m-%d %H:%M}",
            image.status.error.message if image.status.error else "",
        )
        for image in images
    ]
    heads = ("NAME", "STATE", "CLASS", "FORMAT", "VIRTUAL SIZE", "SIZE", "CREATED", "ERROR")
    print_table(heads, rows)


def print_table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print *rows* below *heads*."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        # In a pipe, cut columns help nobody.
        console = Console(markup=False, highlight=False, emoji=False, width=1000)
    console.print(table(heads, rows))


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    """Return *rows* below *heads*."""
    made = Table(box=None, pad_edge=False)
    for head in heads:
        made.add_column(head, overflow="fold", no_wrap=head in ("STATE", "CREATED"))
    for row in rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made


def print_classes(classes: list[StorageClass]) -> None:
    """Print a table of storage classes."""
    rows = [
        (
            shelf.name + (" (default)" if shelf.default else ""),
            shelf.provisioner,
            shelf.backend,
            shelf.engine,
            _short(shelf.capacity),
            _short(shelf.available),
        )
        for shelf in classes
    ]
    print_table(("NAME", "PROVISIONER", "BACKEND", "ENGINE", "CAPACITY", "AVAILABLE"), rows)


def print_image(image: Image) -> None:
    """Print everything there is to know of one image."""
    for name, value in _details(image):
        if value:
            _print(f"{name + ':':<15} {value}")


def _details(image: Image) -> list[tuple[str, str]]:
    status, spec = image.status, image.spec
    return [
        ("name", f"{image.namespace}/{image.name}"),
        ("state", image.phase.value),
        ("source", getattr(spec.source, "url", "upload")),
        ("warning", "certificates are not checked" * getattr(spec.source, "insecure", False)),
        ("storage class", spec.storage_class or ""),
        ("format", _format(status.format, status.compression) if status.format else ""),
        ("virtual size", _exact(status.virtual_size)),
        ("size", _exact(status.size)),
        ("doing", status.doing or ""),
        ("progress", _progress(image)),
        ("plan", f"{status.plan.wire}: {status.plan.why}" if status.plan else ""),
        ("target", f"{status.target.kind} {status.target.name}" if status.target else ""),
        ("created", f"{image.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("attempt", str(status.attempt or "")),
        *((phase.name.value, _took(phase.seconds)) for phase in status.phases),
        *sorted(status.checksums.items()),
        ("error", f"{status.error.message} ({status.error.slug})" if status.error else ""),
    ]


def _progress(image: Image) -> str:
    progress = image.status.progress
    if not progress:
        return ""
    if image.phase in AT_TARGET:
        return share(progress)
    return f"{human(progress.done)} of {_size(progress.total)}"


def share(progress: Progress) -> str:
    """Return how far the target is, which counts bytes or percent: percent."""
    return f"{min(progress.done * 100 // progress.total, 100)} %" if progress.total else ""


def _took(seconds: float | None) -> str:
    return "since now" if seconds is None else f"{seconds:.2f} s"


def _format(format: str | None, compression: str | None) -> str:
    return f"{format or 'unknown format'}{f' in {compression}' if compression else ''}"


def _size(size: int | None) -> str:
    return "unknown" if size is None else human(size)


def _short(size: int | None) -> str:
    return "" if size is None else human(size)


def _exact(size: int | None) -> str:
    return "" if size is None else f"{human(size)} ({size} bytes)"


def _print(text: str) -> None:
    Console(markup=False, highlight=False, emoji=False, soft_wrap=True).print(Text(plain(text)))
