"""Transport compression: one context for a whole connection."""

import zlib
from collections.abc import Callable
from typing import Any

try:
    import zstandard
except ImportError:  # clients without it do not ask for it, either
    zstandard = None  # type: ignore[assignment]

Compress = Callable[[bytes], bytes]


def compressor(name: str | None) -> Compress | None:
    """Return the function that compresses a connection's frames; None: they are sent as text.

    Raises:
        ValueError: the gateway does not know this compression.
    """
    match name:
        case None:
            return None
        case "zlib-stream":
            return _flushing(zlib.compressobj(level=1), zlib.Z_SYNC_FLUSH)
        case "zstd-stream" if zstandard is not None:
            context = zstandard.ZstdCompressor(level=1).compressobj()
            return _flushing(context, zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    raise ValueError(f"unknown compression: {name}")


def _flushing(context: Any, flush: int) -> Compress:
    def compress(frame: bytes) -> bytes:
        packed: bytes = context.compress(frame) + context.flush(flush)
        return packed

    return compress
