"""List torchvision's ops that cut regions out of images, by name: it may not be loaded.

Regions only choose what is read, as in torchvision's own derivatives. `deform_conv2d` is taken
apart, and `nms` gives indices, which carry nothing.
"""

from __future__ import annotations

from typing import Any

import torch

from lrp_engine.method.call import Arriving, Call, Coefficients, at_result
from lrp_engine.method.claims import as_are
from lrp_engine.method.op import Linear, Selection
from lrp_engine.method.samples import real, sample

_REGIONS = ("rois",)
_PLACES = torch.tensor([[0, 0.4, 0.6, 3.3, 4.2], [1, 1.2, 0.1, 4.4, 3.7]]).double()
_CUT = (real(2, 4, 5, 5), _PLACES, 0.9, 2, 2)


def of_channels_read(call: Call[Linear], c: Arriving) -> Coefficients:
    """Return torchvision's derivative; which channels a cell reads is its second result."""
    return call.vjp((at_result(c), None))


def region_op(name: str, *sampling: object, **facts: Any) -> Linear:
    """Return one table row."""
    return Linear(
        target=f"torchvision.{name}.default",
        operands=("input",),
        selectors=_REGIONS,
        samples=(sample(*_CUT, *sampling),),
        never_negative=as_are("input"),
        **facts,
    )


AVERAGES = (
    region_op("roi_align", 2, True),
    region_op("ps_roi_align", 2, adjoint=of_channels_read),
    region_op("ps_roi_pool", adjoint=of_channels_read),
)

LARGEST = (
    Selection(
        target="torchvision.roi_pool.default",
        operands=("input",),
        selectors=_REGIONS,
        samples=(sample(*_CUT),),
        never_negative=as_are("input"),
    ),
)
