"""Resize and Upsample: along each axis, weighted sums of nearby entries."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..op_table import op
from ..unsupported import Refused
from ..values import Ints, OnnxValue, as_host

Floats = tuple[float, ...]


@dataclass(frozen=True)
class Resampling:
    """The attributes that say where an output entry lies in the input, and what it is made of."""

    mode: str
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0


@dataclass(frozen=True)
class ResizedAxis:
    """One axis to resize: `region` is (start, end) of the part to crop, as fractions."""

    place: int
    size: int
    result: int
    scale: float
    region: tuple[float, float] = (0.0, 1.0)


@op("Upsample", since=9)
def upsample(x: Tensor, scales: OnnxValue, *, mode: str = "nearest") -> Tensor:
    """Enlarge by known scales."""
    return _upsampled(x, _floats(scales), mode)


@op("Upsample", since=7)
def upsample_7(x: Tensor, *, scales: Floats, mode: str = "nearest") -> Tensor:
    """Enlarge by scales that are given as attributes."""
    return _upsampled(x, scales, mode)


@op("Upsample")
def upsample_1(
    x: Tensor, *, height_scale: float, width_scale: float, mode: str = "nearest"
) -> Tensor:
    """Enlarge height and width by scales that are given as attributes."""
    return _upsampled(x, (1.0, 1.0, height_scale, width_scale), mode)


@op("Resize", since=10)
def resize_10(x: Tensor, scales: OnnxValue, *, mode: str = "nearest") -> Tensor:
    """Resize by known scales, as before opset 11."""
    return _upsampled(x, _floats(scales), mode)


def _upsampled(x: Tensor, scales: Floats, mode: str) -> Tensor:
    how = Resampling(mode, "asymmetric", "floor")
    axes = [_by_scale(x, i, scale) for i, scale in enumerate(scales)]
    return apply_resize(x, axes, how)


@op("Resize", since=11)
def resize(
    x: Tensor,
    roi: OnnxValue | None = None,
    scales: OnnxValue | None = None,
    sizes: Ints | None = None,
    *,
    antialias: int = 0,
    axes: Ints | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    """Resize to known scales or sizes, or crop and resize."""
    how = Resampling(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        bool(antialias),
        extrapolation_value,
    )
    places = [a % x.dim() for a in axes] if axes is not None else list(range(x.dim()))
    if sizes:
        found = _by_size(x, places, sizes, keep_aspect_ratio_policy)
    elif scales is not None:
        found = [_by_scale(x, i, s) for i, s in zip(places, _floats(scales), strict=True)]
    else:
        raise Refused("neither scales nor sizes are given")
    if how.coordinates == "tf_crop_and_resize":
        if roi is None:
            raise Refused("a crop without its region")
        corners = _floats(roi)
        half = len(corners) // 2
        found = [
            ResizedAxis(a.place, a.size, a.result, a.scale, (corners[i], corners[i + half]))
            for i, a in enumerate(found)
        ]
    return apply_resize(x, found, how)


def _floats(value: OnnxValue) -> Floats:
    return tuple(float(entry) for entry in as_host(value).array.flat)


def _by_scale(x: Tensor, place: int, scale: float) -> ResizedAxis:
    size = x.shape[place]
    if scale == 1:
        return ResizedAxis(place, size, size, 1.0)
    if isinstance(size, int):
        return ResizedAxis(place, size, math.floor(size * scale), scale)
    if not float(scale).is_integer():
        raise Refused("an axis of open size is resized by a fraction")
    return ResizedAxis(place, size, size * int(scale), scale)


def _by_size(x: Tensor, places: list[int], sizes: Ints, policy: str) -> list[ResizedAxis]:
    if policy == "stretch":
        return [
            ResizedAxis(i, x.shape[i], n, 1.0 if n is x.shape[i] else n / x.shape[i])
            for i, n in zip(places, sizes, strict=True)
        ]
    ratios = [n / x.shape[i] for i, n in zip(places, sizes, strict=True)]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    return [ResizedAxis(i, x.shape[i], math.floor(scale * x.shape[i] + 0.5), scale) for i in places]


def apply_resize(x: Tensor, axes: list[ResizedAxis], how: Resampling) -> Tensor:
    """Resize by torch's own kernel where it does the same, axis by axis otherwise."""
    cropping = how.coordinates == "tf_crop_and_resize"
    acting = [a for a in axes if cropping or a.scale != 1 or not _same(a.size, a.result)]
    if not acting:
        return x
    kernel = _torch_mode(x, acting, how)
    if kernel is not None:
        return _by_torch(x, acting, kernel)
    for axis in acting:
        x = _along(x, axis, how)
    return x


def _same(a: int | None, b: int | None) -> bool:
    return a is b or (isinstance(a, int) and isinstance(b, int) and a == b)


def _torch_mode(x: Tensor, axes: list[ResizedAxis], how: Resampling) -> str | None:
    """Return the name of torch's kernel for this; None if there is none."""
    spatial = [a.place for a in axes] == list(range(2, x.dim()))
    if how.antialias or how.exclude_outside or not x.is_floating_point() or not spatial:
        return None
    upward = all(float(a.scale).is_integer() for a in axes)
    corner = how.coordinates == "asymmetric" and how.nearest == "floor"
    half = how.coordinates == "half_pixel" and how.nearest.startswith("round_prefer")
    if how.mode == "nearest":
        return "nearest" if upward and (corner or half) and x.dim() in (3, 4, 5) else None
    pixels = how.coordinates in ("half_pixel", "pytorch_half_pixel")
    exact = all(_same(a.result, _scaled(a)) for a in axes) or not all(
        isinstance(a.size, int) for a in axes
    )
    more = all(not isinstance(a.result, int) or a.result > 1 for a in axes)
    if not (pixels and exact and more):
        return None
    linear = {3: "linear", 4: "bilinear", 5: "trilinear"}.get(x.dim())
    cubic = "bicubic" if x.dim() == 4 and math.isclose(how.cubic, -0.75) else None
    return {"linear": linear, "cubic": cubic}.get(how.mode)


def _scaled(axis: ResizedAxis) -> int | None:
    whole = axis.size * axis.scale
    return int(whole) if isinstance(axis.size, int) and float(whole).is_integer() else None


def _by_torch(x: Tensor, axes: list[ResizedAxis], mode: str) -> Tensor:
    size = [a.result for a in axes]
    return F.interpolate(x, size=size, mode=mode)


def _along(x: Tensor, axis: ResizedAxis, how: Resampling) -> Tensor:
    """Return weighted sums of entries chosen along one axis."""
    if not (isinstance(axis.size, int) and isinstance(axis.result, int)):
        raise Refused("an axis of open size is resized in a way that needs its size")
    where = _coordinates(axis, how)
    indices, weights = _taps(where, axis, how)
    outside = (where < 0) | (where > axis.size - 1)
    if how.coordinates != "tf_crop_and_resize":
        outside[:] = False
    weights[outside] = 0
    shape = [-1 if i == axis.place else 1 for i in range(x.dim())]
    taps = [_tap(x, axis.place, i, w, shape) for i, w in zip(indices.T, weights.T, strict=True)]
    total = reduce(torch.add, taps)
    if outside.any():
        filling = torch.from_numpy(np.where(outside, how.extrapolation, 0.0)).to(x)
        total = total + filling.reshape(shape)
    return total


def _tap(
    x: Tensor, place: int, indices: np.ndarray, weights: np.ndarray, shape: list[int]
) -> Tensor:
    """Return the entries chosen along one axis, each times its weight."""
    chosen = x.index_select(place, torch.from_numpy(indices.copy()).to(x.device))
    if (weights == 1).all():
        return chosen
    return chosen * torch.from_numpy(weights.copy()).to(x).reshape(shape)


def _coordinates(axis: ResizedAxis, how: Resampling) -> np.ndarray:
    """Return where output entries lie in the input."""
    y = np.arange(axis.result, dtype=np.float64)
    last, width = axis.size - 1, axis.scale * axis.size
    half = (y + 0.5) / axis.scale - 0.5
    start, end = axis.region
    match how.coordinates:
        case "half_pixel":
            return half
        case "pytorch_half_pixel":
            return half if width != 1 else np.full_like(y, -0.5)
        case "half_pixel_symmetric":
            return axis.size / 2 * (1 - axis.result / width) + half
        case "align_corners":
            return y * last / (width - 1) if width != 1 else np.zeros_like(y)
        case "asymmetric":
            return y / axis.scale
        case "tf_crop_and_resize":
            if width == 1:
                return np.full_like(y, (end - start) * last / 2 + start * last)
            return y * (end - start) * last / (width - 1) + start * last
        case "tf_half_pixel_for_nn":
            return (y + 0.5) / axis.scale
    raise Refused(f"coordinate_transformation_mode {how.coordinates!r} is not supported")


def _taps(where: np.ndarray, axis: ResizedAxis, how: Resampling) -> tuple[np.ndarray, np.ndarray]:
    """Return, per output entry, the input entries that it is made of and their weights."""
    base = np.ceil(where).astype(np.int64) - 1
    # In (0, 1]: an entry that lies exactly on an input entry counts as that one's right end.
    ratio = where - base
    if how.mode == "nearest":
        offsets = np.zeros((len(where), 1), dtype=np.int64) + _nearer(ratio, how.nearest)[:, None]
        weights = np.ones(offsets.shape)
    else:
        reach, kernel = _kernel(how)
        scale = min(axis.scale, 1.0) if how.antialias else 1.0
        first = math.floor(-reach / scale) + 1
        offsets = np.arange(first, 2 - first)[None].repeat(len(where), 0)
        weights = kernel((offsets - ratio[:, None]) * scale)
        if how.antialias:
            weights = weights / weights.sum(1, keepdims=True)
    places = base[:, None] + offsets
    if how.exclude_outside:
        weights = np.where((places < 0) | (places >= axis.size), 0.0, weights)
        weights = weights / weights.sum(1, keepdims=True)
    return places.clip(0, axis.size - 1), weights


def _nearer(ratio: np.ndarray, mode: str) -> np.ndarray:
    """Return 0 for the entry before, 1 for the one after."""
    on_it = ratio == 1
    match mode:
        case "round_prefer_floor":
            after = ratio > 0.5
        case "round_prefer_ceil":
            after = ratio >= 0.5
        case "floor":
            after = np.zeros_like(on_it)
        case "ceil":
            after = np.ones_like(on_it)
        case _:
            raise Refused(f"nearest_mode {mode!r} is not supported")
    chosen: np.ndarray = (after | on_it).astype(np.int64)
    return chosen


def _kernel(how: Resampling) -> tuple[int, Callable[[np.ndarray], np.ndarray]]:
    """Return how far the interpolation reaches, and the weight at a distance."""
    if how.mode in ("linear", "bilinear"):
        return 1, lambda d: np.clip(1 - np.abs(d), 0, 1)
    if how.mode != "cubic":
        raise Refused(f"mode {how.mode!r} is not supported")
    a = how.cubic

    def cubic(distance: np.ndarray) -> np.ndarray:
        d = np.abs(distance)
        near = (a + 2) * d**3 - (a + 3) * d**2 + 1
        far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0.0))

    return 2, cubic
