"""Pools, and changes of resolution."""

import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.fuzz.rows import Row, both, has_dim

window = {"kernel": st.integers(1, 3), "stride": st.integers(1, 2), "padding": st.booleans()}


def fits_window(dims):
    def fits(x, kernel, **_options):
        return x.dim() == dims + 2 and min(x.shape[2:]) >= kernel

    return fits


def half(kernel, padding):
    return kernel // 2 if padding else 0


def pooled(function, **fixed):
    return lambda x, kernel, stride, padding: function(
        x, kernel, stride, half(kernel, padding), **fixed
    )


POOLS = [
    *(
        Row(f"{kind}_pool{n}d", pooled(getattr(F, f"{kind}_pool{n}d")), fits=fits_window(n),
            options=window)
        for n in (1, 2, 3)
        for kind in ("max", "avg")
    ),
    Row("avg_pool2d uncounted", pooled(F.avg_pool2d, count_include_pad=False), fits=fits_window(2),
        options=window),
    Row("avg_pool2d ceil", pooled(F.avg_pool2d, ceil_mode=True), fits=fits_window(2),
        options=window),
    Row("max_pool2d ceil", pooled(F.max_pool2d, ceil_mode=True), fits=fits_window(2),
        options=window),
    Row("avg_pool2d divisor", pooled(F.avg_pool2d, divisor_override=2), fits=fits_window(2),
        options=window),
    Row("lp_pool2d", lambda x, p: F.lp_pool2d(x.abs() + 0.1, p, 2, 1),
        fits=lambda x, p: x.dim() == 4 and min(x.shape[2:]) >= 2,
        options={"p": st.sampled_from([1.0, 2.0, 3.0])}),
    Row("lp_pool1d", lambda x: F.lp_pool1d(x.abs() + 0.1, 2.0, 2, 1),
        fits=lambda x: x.dim() == 3 and x.shape[2] >= 2),
    Row("max_unpool2d", lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, 1, return_indices=True), 2, 1),
        fits=lambda x: x.dim() == 4 and min(x.shape[2:]) >= 2, derivable=False),
]  # fmt: skip


def sized(function):
    return lambda x, size: function(x, size)


ADAPTIVE = [
    Row(f"adaptive_{kind}_pool{n}d", sized(getattr(F, f"adaptive_{kind}_pool{n}d")),
        fits=has_dim(n + 2), options={"size": st.integers(1, 3)})
    for n in (1, 2, 3)
    for kind in ("avg", "max")
]  # fmt: skip
RESIZED = [
    *(
        Row(f"interpolate{dims - 2}d {mode}",
            lambda x, size, mode=mode: F.interpolate(x, size=size, mode=mode),
            fits=has_dim(dims), options={"size": st.integers(1, 6)})
        for mode, dims in (("nearest", 3), ("nearest", 4), ("linear", 3), ("bilinear", 4),
                           ("bicubic", 4), ("area", 4), ("nearest-exact", 4), ("trilinear", 5))
    ),
    Row("interpolate corners", lambda x, scale: F.interpolate(
            x, scale_factor=scale, mode="bilinear", align_corners=True), fits=has_dim(4),
        options={"scale": st.sampled_from([2, 1.5, 0.5])}),
    Row("interpolate antialias", lambda x, size: F.interpolate(
            x, size=size, mode="bilinear", antialias=True), fits=has_dim(4),
        options={"size": st.integers(1, 6)}),
    Row("grid sample", lambda x, w, mode, padding, corners: F.grid_sample(
            x, torch.tanh(w).expand(x.shape[0], -1, -1, -1), mode, padding, corners),
        fits=has_dim(4), weights=lambda x, **_: [(1, 3, 3, 2)],
        options={"mode": st.sampled_from(["bilinear", "nearest", "bicubic"]),
                 "padding": st.sampled_from(["zeros", "border", "reflection"]),
                 "corners": st.booleans()}),
    Row("grid of data", lambda x: F.grid_sample(x, torch.tanh(x[:, :2].permute(0, 2, 3, 1)),
            align_corners=False), fits=both(has_dim(4), lambda x: x.shape[1] >= 2)),
    Row("affine grid", lambda x, w: F.grid_sample(x, F.affine_grid(
            torch.tanh(w).expand(x.shape[0], -1, -1), list(x.shape), align_corners=False),
            align_corners=False), fits=has_dim(4), weights=lambda x: [(1, 2, 3)]),
]  # fmt: skip
ROWS = [*POOLS, *ADAPTIVE, *RESIZED]
