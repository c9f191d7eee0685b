"""Products of matrices: with weights, with each other, einsum, convolution, distances, linalg."""

import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.fuzz.rows import Row, at_least, both, has_dim, same_shape

outputs = {"outputs": st.integers(1, 4)}


def matches(x, y, **_options):
    """(batch, n, k) and (batch, k, m)."""
    return x.dim() == y.dim() == 3 and x.shape[2] == y.shape[1]


def last_matches(x, y, **_options):
    """(batch, n, k) and (batch, m, k)."""
    return x.dim() == y.dim() == 3 and x.shape[2] == y.shape[2]


def to_linear(x, outputs):
    return [(outputs, x.shape[-1]), (outputs,)]


def to_matrix(x, outputs):
    return [(x.shape[-1], outputs)]


WEIGHTED = [
    Row("linear", lambda x, w, b, outputs: F.linear(x, w, b), fits=at_least(2), weights=to_linear,
        options=outputs),
    Row("linear no bias", lambda x, w, b, outputs: F.linear(x, w), fits=at_least(2),
        weights=to_linear, options=outputs),
    Row("matmul weight", lambda x, w, outputs: x @ w, fits=at_least(2), weights=to_matrix,
        options=outputs),
    Row("weight first", lambda x, w, outputs: w.T @ x.mT, fits=at_least(3), weights=to_matrix,
        options=outputs),
    Row("addmm", lambda x, w, b, outputs: torch.addmm(b, x, w.T, beta=0.5, alpha=2),
        fits=has_dim(2), weights=to_linear, options=outputs),
    Row("mv", lambda x, w: torch.mv(x, w), fits=has_dim(2), weights=lambda x: [(x.shape[1],)]),
    Row("einsum weight", lambda x, w, outputs: torch.einsum("b...i,io->b...o", x, w),
        fits=at_least(2), weights=to_matrix, options=outputs),
    Row("tensordot", lambda x, w, outputs: torch.tensordot(x, w, dims=1), fits=at_least(2),
        weights=to_matrix, options=outputs),
    Row("experts", lambda x, w: torch.einsum("bni,nio->bno", x, w), fits=has_dim(3),
        weights=lambda x: [(x.shape[1], x.shape[2], 3)]),
    Row("bilinear", lambda x, w, b: F.bilinear(x, x.flip(-1), w, b), fits=at_least(2),
        weights=lambda x: [(3, x.shape[-1], x.shape[-1]), (3,)]),
    Row("baddbmm", lambda x, w: torch.baddbmm(
            w[None, :1, :1], x, w.expand(x.shape[0], -1, -1), beta=0.5, alpha=2),
        fits=has_dim(3), weights=lambda x: [(x.shape[2], 3)]),
    Row("two layers", lambda x, w, v: F.relu(x @ w) @ v, fits=at_least(2),
        weights=lambda x: [(x.shape[-1], 4), (4, x.shape[-1])]),
    Row("low rank", lambda x, w, v: x + x @ (w @ v), fits=at_least(2),
        weights=lambda x: [(x.shape[-1], 2), (2, x.shape[-1])]),
    Row("weight norm", lambda x, w, outputs: x @ (w / w.norm(dim=0, keepdim=True)),
        fits=at_least(2), weights=to_matrix, options=outputs),
]  # fmt: skip
LIVE = [
    Row("bmm", torch.bmm, "ff", matches),
    Row("matmul", torch.matmul, "ff", matches),
    Row("scores", lambda x, y: x @ y.transpose(1, 2) / x.shape[-1] ** 0.5, "ff", last_matches),
    Row("einsum", lambda x, y: torch.einsum("bik,bjk->bij", x, y), "ff", last_matches),
    Row("einsum trace", lambda x, y: torch.einsum("bij,bij->b", x, y), "ff",
        both(has_dim(3), same_shape)),
    Row("outer", lambda x, y: torch.einsum("bi,bj->bij", x, y), "ff",
        lambda x, y: x.dim() == y.dim() == 2),
    Row("gram", lambda x: x @ x.mT, fits=has_dim(3)),
    Row("dots", lambda x, y: torch.linalg.vecdot(x, y), "ff", both(at_least(2), same_shape)),
    Row("cosine", lambda x, y: F.cosine_similarity(x, y, -1), "ff", both(at_least(2), same_shape)),
    Row("pairwise distance", lambda x, y: F.pairwise_distance(x, y), "ff",
        both(at_least(2), same_shape)),
    Row("cdist", lambda x, y, p: torch.cdist(x, y + 0.3, p), "ff", last_matches,
        options={"p": st.sampled_from([2.0, 1.0])}),
    Row("kron free", lambda x, y: (x.unsqueeze(-1) * y.unsqueeze(-2)).flatten(1), "ff",
        lambda x, y: x.dim() == y.dim() == 2),
    Row("cross", lambda x, y: torch.linalg.cross(x, y, dim=-1), "ff",
        both(at_least(2), same_shape, lambda x, y: x.shape[-1] == 3)),
]  # fmt: skip


def square(x):
    """A well-conditioned square matrix per sample."""
    gram = x @ x.mT
    return gram + torch.eye(gram.shape[-1], dtype=x.dtype)


LINALG = [
    Row("matrix power", lambda x: torch.linalg.matrix_power(torch.tanh(x @ x.mT), 2),
        fits=has_dim(3)),
    Row("solve", lambda x: torch.linalg.solve(square(x), x), fits=has_dim(3)),
    Row("inverse", lambda x: torch.linalg.inv(square(x)), fits=has_dim(3)),
    Row("cholesky", lambda x: torch.linalg.cholesky(square(x)), fits=has_dim(3)),
    Row("det", lambda x: torch.linalg.det(square(torch.tanh(x) / 2)), fits=has_dim(3)),
    Row("matrix norm", lambda x: torch.linalg.matrix_norm(x), fits=has_dim(3)),
    Row("trace", lambda x: (x @ x.mT).diagonal(dim1=-2, dim2=-1).sum(-1), fits=has_dim(3)),
    Row("matrix exp", lambda x: torch.linalg.matrix_exp(torch.tanh(x @ x.mT) / 4), fits=has_dim(3)),
    Row("svdvals", lambda x: torch.linalg.svdvals(x), fits=has_dim(3)),
    Row("eigvalsh", lambda x: torch.linalg.eigvalsh(square(x)), fits=has_dim(3)),
]  # fmt: skip


def window(dims):
    """Options of a convolution over so many axes, and when they fit."""

    def fits(x, kernel, padding, dilation, groups, **_options):
        reach = dilation * (kernel - 1) + 1
        wide = x.dim() == dims + 2 and min(x.shape[2:]) + 2 * padding >= reach
        return wide and x.shape[1] % groups == 0

    return fits


convolution = {
    "kernel": st.integers(1, 3),
    "stride": st.integers(1, 2),
    "padding": st.integers(0, 1),
    "dilation": st.integers(1, 2),
    "groups": st.integers(1, 2),
}


def kernels(dims):
    def weights(x, kernel, groups, **_options):
        return [(2 * groups, x.shape[1] // groups, *[kernel] * dims), (2 * groups,)]

    return weights


def transposed_kernels(dims):
    def weights(x, kernel, groups, **_options):
        return [(x.shape[1], 2, *[kernel] * dims), (2 * groups,)]

    return weights


def convolve(function):
    return lambda x, w, b, kernel, stride, padding, dilation, groups: function(
        x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def transpose(function):
    return lambda x, w, b, kernel, stride, padding, dilation, groups: function(
        x, w, b, stride=stride, padding=0, dilation=dilation, groups=groups
    )


CONVOLUTIONS = [
    *(
        Row(f"conv{n}d", convolve(getattr(F, f"conv{n}d")), fits=window(n), weights=kernels(n),
            options=convolution)
        for n in (1, 2, 3)
    ),
    *(
        Row(f"conv_transpose{n}d", transpose(getattr(F, f"conv_transpose{n}d")), fits=window(n),
            weights=transposed_kernels(n), options=convolution)
        for n in (1, 2, 3)
    ),
    Row("conv same", lambda x, w: F.conv1d(x, w, padding="same"), fits=has_dim(3),
        weights=lambda x: [(2, x.shape[1], 3)]),
    Row("depthwise", lambda x, w: F.conv2d(x, w, padding=1, groups=x.shape[1]), fits=has_dim(4),
        weights=lambda x: [(x.shape[1], 1, 3, 3)]),
]  # fmt: skip
ROWS = [*WEIGHTED, *LIVE, *LINALG, *CONVOLUTIONS]
