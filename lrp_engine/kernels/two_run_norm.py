"""Define the passage through a norm in two runs as one op: two reads of the runs, one of c.

With u the (centred) entries and r = 1/sqrt(mean u^2 + eps), means of both runs with a bar:
r̄ g - k ū mean(ū g), with g = weight c and k = 2 r_a^2 r_b^2 / (r_a + r_b), centred where the
norm is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .has_triton import has_triton

_PIECE = 2**15  # entries whose intermediate results stay in a CPU's cache

_NAME = "lrp_engine::two_run_norm"
torch.library.define(
    _NAME,
    "(Tensor c, Tensor b, Tensor a, Tensor? weight, float eps, bool centred) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
two_run_norm: Callable[..., Tensor] = torch.ops.lrp_engine.two_run_norm.default


@torch.library.impl(_NAME, "CompositeExplicitAutograd")
def _computed(
    c: Tensor, b: Tensor, a: Tensor, weight: Tensor | None, eps: float, centred: bool
) -> Tensor:
    """Return what passes to the norm's input.

    Args:
        c: What arrives, (..., n); more leading axes than the runs have are several targets.
        b: The norm's input in the explained run, (..., n).
        a: That of the reference.
        weight: (n,), the mean of both runs'.
        eps: What is added to the mean square.
        centred: Whether the mean is taken off.
    """
    n = b.shape[-1]
    mine, one, other = (x.reshape(-1, n) for x in (c, b, a))
    if c.device.type == "cuda" and c.dtype != torch.float64 and n <= 8192 and has_triton():
        from .two_run_norm_triton import run_kernel

        mine, one, other = (x.contiguous() for x in (mine, one, other))
        return run_kernel(mine, one, other, weight, eps, centred).view(c.shape)
    return _in_pieces(mine, one, other, weight, eps, centred).view(c.shape)


def _in_pieces(
    c: Tensor, b: Tensor, a: Tensor, weight: Tensor | None, eps: float, centred: bool
) -> Tensor:
    result = torch.empty_like(c, memory_format=torch.contiguous_format)
    size = max(1, _PIECE // max(1, b.shape[-1])) if c.device.type == "cpu" else max(1, len(b))
    for start in range(0, len(b), size):
        here = slice(start, start + size)
        runs = (b[here], a[here])
        for first in range(0, len(c), len(b)):
            mine = slice(first + start, first + min(start + size, len(b)))
            result[mine] = passed_through(c[mine], *runs, weight, eps, centred)
    return result


def passed_through(
    c: Tensor, b: Tensor, a: Tensor, weight: Tensor | None, eps: float, centred: bool
) -> Tensor:
    """Compute it for rows (rows, n), in single precision at least."""
    wide = torch.promote_types(c.dtype, torch.float32)
    (u_b, r_b), (u_a, r_a) = (normalised(x.to(wide), eps, centred) for x in (b, a))
    g = c.to(wide) if weight is None else c.to(wide) * weight
    u, r = (u_b + u_a) / 2, (r_b + r_a) / 2
    k = 2 * (r_a * r_b).square() / (r_a + r_b)
    back = r * g - k * u * (u * g).mean(-1, keepdim=True)
    return back - back.mean(-1, keepdim=True) if centred else back


def normalised(x: Tensor, eps: float, centred: bool) -> tuple[Tensor, Tensor]:
    """Return (entries, 1/sqrt(mean square + eps)) of rows (..., n)."""
    u = x - x.mean(-1, keepdim=True) if centred else x
    return u, torch.rsqrt(u.square().mean(-1, keepdim=True) + eps)


def _without_data(c: Tensor, b: Tensor, *_: object) -> Tensor:
    return c.new_empty(c.shape)


torch.library.register_fake(_NAME, _without_data)


def _batched(
    info: object, in_dims: tuple[int | None, ...], c: Tensor, *runs: object
) -> tuple[Tensor, int]:
    """Add one more axis in front of what arrives: the runs are the same for all targets."""
    at_c, *others = in_dims
    if at_c is None or any(d is not None for d in others):
        raise ValueError("two_run_norm: only coefficients differ between targets")
    return two_run_norm(c.movedim(at_c, 0), *runs), 0


torch.library.register_vmap(_NAME, _batched)
