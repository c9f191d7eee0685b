"""Define gradients with another backward pass at rectifiers, which LRP is compared with.

The coefficient is the modified gradient. None of these conserves relevance: the remainder is booked
as "gradient".
"""

from __future__ import annotations

import torch
from torch import Tensor

from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import Selection
from lrp_engine.method.parameters import Positive
from lrp_engine.method.rule import rule
from lrp_engine.rules.selection import entrywise


@rule(
    "guided",
    family=Selection,
    cites="springenberg2015",
    absorbs="gradient",
    linear=False,
    serves=entrywise,
)
def guided(call: Call[Selection], c: Tensor) -> Coefficients:
    """Apply guided backprop: c_in = f'(x) c where c > 0, 0 elsewhere."""
    return call.vjp(c.clamp(min=0))


@rule(
    "deconvnet",
    family=Selection,
    cites="zeiler2014",
    absorbs="gradient",
    linear=False,
    serves=entrywise,
)
def deconvnet(call: Call[Selection], c: Tensor) -> Coefficients:
    """Apply DeconvNet: c_in = c where c > 0, 0 elsewhere, whatever x is."""
    return call.only(c.clamp(min=0))


@rule(
    "smooth", family=Selection, cites="dombrowski2019, eq. 9", absorbs="gradient", serves=entrywise
)
def smooth(call: Call[Selection], c: Tensor, beta: Positive = 10.0) -> Coefficients:
    """Take the gradient of softplus in place of relu: c_in = c sigmoid(beta x)."""
    (x,) = map(call.operand, call.live)
    return call.only(c * torch.sigmoid(beta * x))
