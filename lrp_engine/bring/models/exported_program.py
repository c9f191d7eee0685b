"""Open `.pt2` files of torch.export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...boundary.exported_program import read_exported
from ...capture.silence import silence_export
from ..hints import Hints
from ..opened import OpenedModel
from . import torch_module


def open_model(model: Any, hints: Hints) -> OpenedModel:
    """Open a file of `torch.export.save`. Raises CaptureError for a file that is none."""
    with silence_export():  # of a damaged file torch logs where it failed
        program = read_exported(Path(model))
    return torch_module.open_model(program, hints)
