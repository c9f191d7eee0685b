"""List ops that average or interpolate over a grid, which are linear in its values."""

from __future__ import annotations

from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.method.op import Linear
from lrp_engine.method.samples import (
    Sample,
    between,
    real,
    sample,
)
from lrp_engine.rules.linear import linear


def grid(target: Target, *samples: Sample, operand: str = "self") -> Linear:
    """Return one table row."""
    return linear(target, operand, samples=samples)


_LINE, _IMAGE, _VOLUME = real(1, 2, 4), real(1, 2, 3, 3), real(1, 1, 2, 3, 2)

AVERAGES = (
    grid(aten.adaptive_avg_pool3d.default, sample(_VOLUME, [2, 2, 1])),
    grid(aten._adaptive_avg_pool3d.default, sample(_VOLUME, [2, 2, 1])),
)

# Overlapping windows add up.
FOLDS = (grid(aten.col2im.default, sample(real(1, 8, 9), [4, 4], [2, 2], [1, 1], [0, 0], [1, 1])),)

NEAREST = (
    grid(aten.upsample_nearest1d.vec, sample(_LINE, None, [2.0]), operand="input"),
    grid(aten.upsample_nearest3d.vec, sample(_VOLUME, None, [2.0, 1.0, 2.0]), operand="input"),
    grid(aten._upsample_nearest_exact2d.default, sample(_IMAGE, [5, 4])),
)

INTERPOLATED = (
    grid(aten.upsample_linear1d.vec, sample(_LINE, None, False, [2.0]), operand="input"),
    grid(
        aten.upsample_trilinear3d.vec,
        sample(_VOLUME, None, False, [2.0, 1.0, 2.0]),
        operand="input",
    ),
    grid(aten._upsample_bilinear2d_aa.default, sample(_IMAGE, [2, 2], False)),
    grid(aten._upsample_bicubic2d_aa.default, sample(_IMAGE, [2, 2], False)),
)

# Where to look is a constant; a grid that is live itself has no record.
SAMPLED = (
    linear(
        aten.grid_sampler_3d.default,
        "input",
        samples=(sample(_VOLUME, between(-0.9, 0.9, 1, 2, 2, 2, 3), 0, 0, False),),
    ),
    linear(
        aten.grid_sampler_2d.default,
        "input",
        samples=(sample(_IMAGE, between(-0.9, 0.9, 1, 2, 4, 2), 0, 0, False),),
    ),
)
