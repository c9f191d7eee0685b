"""Serve Fourier transforms: linear ops of real tensors, complex values as pairs on a last axis."""

from __future__ import annotations

from lrp_engine.kernels.fourier import fourier, fourier_of_real, fourier_to_real
from lrp_engine.method.samples import real, sample
from lrp_engine.rules.linear import linear

TRANSFORMS = (
    linear(
        fourier,
        "pairs",
        samples=(
            sample(real(2, 5, 2), [1], 0, True),
            sample(real(2, 4, 2), [0, 1], 1, False),
        ),
    ),
    linear(
        fourier_of_real,
        "x",
        samples=(
            sample(real(2, 5), [1], 0, True),
            sample(real(3, 4), [0, 1], 2, True),
            sample(real(2, 4), [1], 1, False),
        ),
    ),
    linear(
        fourier_to_real,
        "pairs",
        samples=(
            sample(real(2, 3, 2), [1], 2, 5),
            sample(real(3, 3, 2), [0, 1], 1, 4),
        ),
    ),
)
