"""The table: name -> model, inputs, and which sizes are free."""

from __future__ import annotations

from .convolutional import CONVOLUTIONAL
from .decoders import DECODERS
from .encoders import ENCODERS
from .entry import Entry
from .plain import PLAIN
from .sound import SOUND
from .vision import VISION

ZOO: dict[str, Entry] = {
    **CONVOLUTIONAL,
    **DECODERS,
    **ENCODERS,
    **PLAIN,
    **SOUND,
    **VISION,
}
