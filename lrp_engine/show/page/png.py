"""Write PNG files with the standard library: no picture library is needed for a page."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRUE_COLOUR, _PALETTE = 2, 3


def palette_png(indices: NDArray[np.uint8], palette: Sequence[Colour]) -> bytes:
    """Return a PNG of one byte per pixel.

    Args:
        indices: Places in the palette, (height, width).
        palette: At most 256 colours.
    """
    colours = b"".join(bytes(colour) for colour in palette)
    return _file(indices.shape, _PALETTE, indices, _chunk(b"PLTE", colours))


def colour_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of pixels (height, width, 3)."""
    return _file(pixels.shape, _TRUE_COLOUR, pixels)


def data_uri(png: bytes) -> str:
    """Return a PNG as an address that needs no network."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _file(
    shape: tuple[int, ...], kind: int, pixels: NDArray[np.uint8], before: bytes = b""
) -> bytes:
    height, width = shape[:2]
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    body = zlib.compress(_filtered(pixels, kind), 9)
    chunks = (_chunk(b"IHDR", head), before, _chunk(b"IDAT", body), _chunk(b"IEND", b""))
    return _SIGNATURE + b"".join(chunks)


def _filtered(pixels: NDArray[np.uint8], kind: int) -> bytes:
    """Return the rows with their filters: none for a palette, else the difference to the left."""
    height = len(pixels)
    rows = pixels.astype(np.uint8, casting="safe").reshape(height, -1)
    if kind == _TRUE_COLOUR:
        left = np.zeros_like(rows)
        left[:, 3:] = rows[:, :-3]
        rows = rows - left  # modulo 256, as the format wants
    mark = np.full((height, 1), 1 if kind == _TRUE_COLOUR else 0, np.uint8)
    return np.concatenate([mark, rows], 1).tobytes()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
