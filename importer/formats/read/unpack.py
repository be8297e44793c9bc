"""Inflates compressed clusters of a qcow2 file. Blocking: call it in a thread.

Source: QEMU's docs/interop/qcow2.txt, "Compressed Clusters Descriptor", and block/qcow2-threads.c:
raw deflate with a window of 4 KiB, or zstd; what follows a cluster's own data is not looked at.
Raises CorruptImage.
"""

import sys
from dataclasses import dataclass

from isal import igzip_lib

from importer.errors import CorruptImage
from importer.formats.read.place import Packed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_WINDOW = 12
"""Binary logarithm of deflate's window: qcow2_zlib_decompress says -12."""

_ZSTD_WINDOW = 23
"""The same for zstd: 8 MiB. Compressors choose no more than the content, a cluster of 2 MiB, needs;
what asks for more would take it from our memory."""

_IGZIP_ERROR: type[Exception] = igzip_lib.error  # type: ignore[assignment]  # a class, typed as one
_DAMAGED = (_IGZIP_ERROR, zstd.ZstdError, EOFError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Unpacker:
    """How one file's clusters are compressed."""

    cluster: int
    """Bytes of a cluster."""

    is_zstd: bool
    """They are zstd frames, or else deflate."""

    def guest(self, place: Packed, data: memoryview) -> bytes:
        """Return the guest bytes of *place*, of which the file has *data*."""
        try:
            made = self._cluster(data)
        except _DAMAGED as exc:
            raise CorruptImage(
                f"the compressed qcow2 cluster at {place.offset:#x} is damaged: {exc}"
            ) from exc
        if len(made) != self.cluster:
            raise CorruptImage(
                f"the compressed qcow2 cluster at {place.offset:#x} has {len(made)} bytes, "
                f"expected {self.cluster}"
            )
        return made if place.length == self.cluster else made[: place.length]

    def _cluster(self, data: memoryview) -> bytes:
        if self.is_zstd:
            return zstd.ZstdDecompressor(
                options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW}
            ).decompress(data, self.cluster)
        inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE, hist_bits=_WINDOW)
        return bytes(inflater.decompress(data, self.cluster))
