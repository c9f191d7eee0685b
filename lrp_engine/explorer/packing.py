"""Pack a scene: its words as JSON, its numbers as half floats, both compressed into one text."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from .scene import Scene, TargetScene, Traces


@dataclass
class Numbers:
    """The numbers of a page, one behind the other; each array is named by its place.

    Half floats have 11 bits and no room for small numbers, so each array is divided by its largest
    absolute entry first.
    """

    parts: list[bytes] = field(default_factory=list)
    count: int = 0

    def add(self, amounts: Tensor) -> dict[str, Any]:
        """Append an array; return where it lies, and the factor to multiply with."""
        plain = amounts.detach().double().cpu().numpy()
        scale = float(np.abs(plain).max(initial=0.0)) or 1.0
        self.parts.append((plain / scale).astype("<f2").tobytes())
        place = {"at": self.count, "size": plain.size, "scale": scale}
        self.count += plain.size
        return place


def pack(scene: Scene) -> bytes:
    """Return a scene as bytes: the length of the JSON text, the text, its numbers, its image."""
    numbers = Numbers()
    words = describe_scene(scene, numbers)
    return _join(words, numbers) + (b"" if scene.image is None else _pixels(scene.image))


def pack_traces(traces: Traces) -> bytes:
    """Return traces as bytes, as `pack` does a scene."""
    numbers = Numbers()
    return _join(describe_traces(traces, numbers), numbers)


def pack_words(words: dict[str, Any]) -> bytes:
    """Return plain data as bytes, as `pack` does a scene, without numbers of their own."""
    return _join(words, Numbers())


def _join(words: dict[str, Any], numbers: Numbers) -> bytes:
    text = json.dumps(words, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)  # numbers begin at an even place
    return struct.pack("<I", len(text)) + text + b"".join(numbers.parts)


def compress(packed: bytes) -> str:
    """Return bytes compressed and as text; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(packed, 9, mtime=0)).decode()


def describe_scene(scene: Scene, numbers: Numbers) -> dict[str, Any]:
    """Return a scene as plain data; its numbers are added to `numbers`."""
    found = {
        name: getattr(scene, name)
        for name in ("kind", "title", "subtitle", "preset", "words", "features", "unit", "notes")
    }
    return found | {
        "untraced": scene.untraced,
        "layers": [asdict(layer) for layer in scene.layers],
        "targets": [_target(target, numbers) for target in scene.targets],
        "numbers": numbers.count,
        "image": None if scene.image is None else list(scene.image.shape[1:]),
    }


def describe_traces(traces: Traces, numbers: Numbers) -> dict[str, Any]:
    """Return traces as plain data; each has a scale of its own."""
    return {
        "nodes": list(traces.nodes),
        "amounts": [numbers.add(amounts) for amounts in traces.amounts],
    }


def _target(target: TargetScene, numbers: Numbers) -> dict[str, Any]:
    return {
        "label": target.label,
        "question": target.question,
        "explained": target.explained,
        "probability": target.probability,
        "relevance": numbers.add(target.relevance),
        "ledger": None if target.ledger is None else asdict(target.ledger),
        "traces": None if target.traces is None else describe_traces(target.traces, numbers),
    }


def _pixels(image: Tensor) -> bytes:
    return image.permute(1, 2, 0).contiguous().cpu().numpy().tobytes()
