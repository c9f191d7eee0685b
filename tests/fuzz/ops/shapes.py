"""Entries moved and not changed: views, joins, pads, turns, windows, shuffles."""

import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.fuzz.rows import Row, always, at_least, axes, axis_of, both, has_dim, table

axis = {"axis": axes}


def even(x, axis=-1):
    return x.dim() > 1 and x.shape[axis_of(x, axis) if axis >= 0 else -1] % 2 == 0


def joins(x, y, axis):
    """Equal shapes but for one axis."""
    if x.dim() != y.dim() or x.dim() < 2:
        return False
    at = axis_of(x, axis)
    return all(x.shape[i] == y.shape[i] for i in range(x.dim()) if i != at)


def same(x, y, **_options):
    return x.shape == y.shape


VIEWS = table(
    {
        "flatten": lambda x: x.flatten(1),
        "reshape": lambda x: x.reshape(x.shape[0], -1, 1),
        "view": lambda x: x.contiguous().view(x.size(0), -1),
        "transpose": lambda x: x.transpose(1, -1),
        "permute": lambda x: x.permute(0, *range(x.dim() - 1, 0, -1)),
        "swapaxes": lambda x: x.swapaxes(1, -1).contiguous(),
        "movedim": lambda x: torch.movedim(x, 1, -1),
        "unsqueeze": lambda x: x.unsqueeze(-1),
        "unsqueeze early": lambda x: x[:, None],
        "squeeze": lambda x: x.unsqueeze(1).squeeze(1),
        "expand": lambda x: x.unsqueeze(-1).expand(*x.shape, 2),
        "narrow": lambda x: x.narrow(-1, 0, x.shape[-1] - 1) if x.shape[-1] > 1 else x,
        "ravel each": lambda x: torch.stack([part.ravel() for part in x.unbind(1)], 1),
        "as strided copy": lambda x: x.contiguous().clone().view_as(x),
        "mT": lambda x: x.flatten(1).unsqueeze(1).mT,
        "atleast": lambda x: torch.atleast_2d(x),
    },
    fits=at_least(2),
)
REORDERED = table(
    {
        "flip": lambda x, axis: x.flip(axis_of(x, axis)),
        "roll": lambda x, axis: x.roll(1, axis_of(x, axis)),
        "repeat": lambda x, axis: torch.cat([x, x], axis_of(x, axis)),
        "chunks": lambda x, axis: torch.cat(x.chunk(2, axis_of(x, axis))[::-1], axis_of(x, axis)),
        "split": lambda x, axis: sum(
            part.sum(axis_of(x, axis), keepdim=True) * (i + 1)
            for i, part in enumerate(x.split(2, axis_of(x, axis)))
        ),
        "unbind": lambda x, axis: x.unbind(axis_of(x, axis))[0] - x.unbind(axis_of(x, axis))[-1],
        "interleave": lambda x, axis: x.repeat_interleave(2, axis_of(x, axis)),
        "tensor split": lambda x, axis: x.tensor_split(2, axis_of(x, axis))[0],
        "diff": lambda x, axis: torch.diff(x, dim=axis_of(x, axis)),
        "windows": lambda x, axis: x.unfold(axis_of(x, axis), 1, 1),
    },
    fits=at_least(2),
    options=axis,
)
JOINS = [
    Row("cat", lambda x, y, axis: torch.cat([x, y], axis_of(x, axis)), "ff", joins, options=axis),
    Row("stack", lambda x, y, axis: torch.stack([x, y], 1 + axis % x.dim()), "ff", same,
        options=axis),
    Row("hstack", lambda x, y: torch.hstack([x, y]), "ff",
        both(at_least(2), lambda x, y: joins(x, y, 0))),
    Row("dstack", lambda x, y: torch.dstack([x, y]), "ff", both(has_dim(3), same)),
    Row("cat many", lambda x, axis: torch.cat([x, -x, 2 * x], axis_of(x, axis)), "f", at_least(2),
        options=axis),
]  # fmt: skip


def wide(x, left, right, mode="constant", **_options):
    """Wide enough to be padded this way."""
    most = max(left, right)
    if mode == "constant":
        return x.dim() >= 2 and x.shape[-1] + min(left, 0) + min(right, 0) > 0
    return x.dim() == 3 and min(left, right) >= 0 and most < x.shape[-1]


pads = {"left": st.integers(-1, 2), "right": st.integers(-1, 2)}
PADS = [
    Row("pad", lambda x, left, right, filled: F.pad(x, (left, right), value=filled),
        fits=lambda x, left, right, filled: wide(x, left, right),
        options={**pads, "filled": st.sampled_from([0.0, 0.5])}),
    Row("pad mode", lambda x, left, right, mode: F.pad(x, (left, right), mode=mode), fits=wide,
        options={**pads, "mode": st.sampled_from(["reflect", "replicate", "circular"])}),
    Row("pad image", lambda x, mode: F.pad(x, (1, 0, 1, 1), mode=mode),
        fits=both(has_dim(4), lambda x, mode: min(x.shape[2:]) > 1),
        options={"mode": st.sampled_from(["constant", "reflect", "replicate", "circular"])}),
]  # fmt: skip
SHUFFLES = [
    Row("pixel shuffle", lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2), fits=has_dim(4)),
    Row("pixel unshuffle", lambda x: F.pixel_unshuffle(x, 2),
        fits=both(has_dim(4), lambda x: x.shape[2] % 2 == x.shape[3] % 2 == 0)),
    Row("channel shuffle", lambda x: F.channel_shuffle(x, 2),
        fits=both(has_dim(4), lambda x: x.shape[1] % 2 == 0)),
    Row("unfold", lambda x, kernel, padding, stride: F.unfold(x, kernel, 1, padding, stride),
        fits=lambda x, kernel, **_: x.dim() == 4 and min(x.shape[2:]) >= kernel,
        options={"kernel": st.integers(1, 3), "padding": st.integers(0, 1),
                 "stride": st.integers(1, 2)}),
    Row("fold", lambda x: F.fold(F.unfold(x, 2, stride=1), x.shape[2:], 2, stride=1),
        fits=lambda x: x.dim() == 4 and min(x.shape[2:]) >= 2),
    Row("unflatten", lambda x: x.unflatten(-1, (2, -1)), fits=even),
    Row("to heads", lambda x: x.reshape(*x.shape[:2], 2, -1).transpose(1, 2),
        fits=both(has_dim(3), even)),
    Row("patches", lambda x: x.unfold(2, 2, 1).unfold(3, 2, 1).flatten(3),
        fits=lambda x: x.dim() == 4 and min(x.shape[2:]) >= 2),
    Row("triangle", lambda x, k: torch.tril(x, k), fits=at_least(3),
        options={"k": st.integers(-1, 1)}),
    Row("upper triangle", lambda x, k: torch.triu(x, k), fits=at_least(3),
        options={"k": st.integers(-1, 1)}),
    Row("diagonal", lambda x: torch.diagonal(x, dim1=-2, dim2=-1), fits=at_least(3)),
    Row("diag embed", lambda x: torch.diag_embed(x), fits=has_dim(2)),
    Row("rot90", lambda x: torch.rot90(x, 1, (-2, -1)), fits=at_least(3)),
    Row("tile", lambda x: torch.tile(x, (1,) * (x.dim() - 1) + (2,)), fits=at_least(2)),
    Row("broadcast", lambda x: torch.broadcast_to(x[:, :1], x.shape), fits=at_least(2)),
    Row("meshed", lambda x: x.unsqueeze(2) - x.unsqueeze(1), fits=has_dim(2)),
    Row("identity", lambda x: x, fits=always),
]  # fmt: skip
ROWS = [*VIEWS, *REORDERED, *JOINS, *PADS, *SHUFFLES]
