"""Hold a capture to its own example: what was traced with other sizes may not take it."""

from __future__ import annotations

from ..errors import CaptureError
from .captured import Captured
from .signature import CallArguments


def require_example_fits(captured: Captured, call: CallArguments) -> None:
    """Raise CaptureError if the shapes that a capture holds for leave out its own example.

    torch.export is shown another batch size than the example's, so that the size stays free. Where
    the model's code ties it to a number, such as that of the images in a text, the traced size is
    fixed instead.

    Args:
        captured: What was captured.
        call: The user's example inputs.
    """
    args, kwargs = call
    broken = captured.shapes.broken(captured.flatten_inputs(args, kwargs))
    if broken is None:
        return
    for i, port in enumerate(captured.inputs):
        broken = broken.replace(f"input leaf {i}:", f"input {port.name!r}:")
    raise CaptureError(f"the model's code fixes sizes other than the example's ({broken})")
