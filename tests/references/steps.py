"""AttnLRP propagation rules as pure functions of stored activations and incoming relevance.

Rules and proposition numbers follow Achtibat et al. 2024, "AttnLRP: Attention-Aware Layer-Wise
Relevance Propagation for Transformers" (arXiv 2402.05602).  Every function takes the relevance of
a step's output and returns the relevance of its inputs; no gradients are involved anywhere.
"""

import torch
from torch import Tensor


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide elementwise and call 0 whatever is divided by an exact 0."""
    zero = denominator == 0
    quotient = numerator / torch.where(zero, torch.ones_like(denominator), denominator)
    return torch.where(zero, torch.zeros_like(quotient), quotient)


def linear(x: Tensor, weight: Tensor, y: Tensor, relevance: Tensor) -> Tensor:
    """LRP-0 for ``y = weight @ x + bias``: ``R_i = sum_j x_i w_ji R_j / y_j``.

    ``y`` includes the bias, so the bias absorbs its share of the relevance.
    """
    messages = x.unsqueeze(-2) * weight * ratio(relevance, y).unsqueeze(-1)
    return messages.sum(-2)


def add(a: Tensor, b: Tensor, relevance: Tensor) -> tuple[Tensor, Tensor]:
    """LRP-0 for ``a + b``: each summand gets its proportion of the sum."""
    share = ratio(relevance, a + b)
    return a * share, b * share


def product(relevance: Tensor) -> tuple[Tensor, Tensor]:
    """Uniform rule (Prop. 3.2) for an elementwise product of two live operands: half to each."""
    return relevance / 2, relevance / 2


def layer_norm(x: Tensor, gamma: Tensor, y: Tensor, eps: float, relevance: Tensor) -> Tensor:
    """LRP-0 through LayerNorm, its standard deviation held constant as in Prop. 3.4.

    What is left is linear: ``y = diag(gamma / std) (I - 11^T / n) x + beta``.
    """
    n = x.shape[-1]
    std = (x.var(-1, unbiased=False, keepdim=True) + eps).sqrt()
    centering = torch.eye(n, dtype=x.dtype) - torch.full((n, n), 1.0 / n, dtype=x.dtype)
    matrix = (gamma / std).unsqueeze(-1) * centering
    return linear(x, matrix, y, relevance)


def identity(relevance: Tensor) -> Tensor:
    """Identity rule: elementwise activations, and RMSNorm (Prop. 3.4), pass R on unchanged."""
    return relevance


def softmax(scores: Tensor, output: Tensor, relevance: Tensor, allowed: Tensor) -> Tensor:
    """Taylor expansion of softmax (Prop. 3.1): ``R_i = x_i (R_i' - s_i sum_j R_j')``.

    Masked entries carry the score -inf in the formula; their relevance is 0 by definition.
    """
    total = relevance.sum(-1, keepdim=True)
    return torch.where(allowed, scores * (relevance - output * total), torch.zeros_like(scores))


def attend(
    weights: Tensor, values: Tensor, out: Tensor, relevance: Tensor
) -> tuple[Tensor, Tensor]:
    """Bilinear rule (Prop. 3.3) for ``out = weights @ values``: half to each operand.

    ``R_A[i,j] = sum_d A[i,j] V[j,d] R[i,d] / (2 O[i,d])``; R_V sums the same terms over i.
    """
    terms = weights.unsqueeze(-1) * values.unsqueeze(-3)
    messages = terms * ratio(relevance, 2 * out).unsqueeze(-2)
    return messages.sum(-1), messages.sum(-3)


def query_key(
    q: Tensor, k: Tensor, scale: float, scores: Tensor, relevance: Tensor
) -> tuple[Tensor, Tensor]:
    """Bilinear rule (Prop. 3.3) for ``scores = scale * q @ k^T``: half to each operand."""
    terms = q.unsqueeze(-2) * k.unsqueeze(-3) * scale
    messages = terms * ratio(relevance, 2 * scores).unsqueeze(-1)
    return messages.sum(-2), messages.sum(-3)


def ungroup(relevance: Tensor, groups: int) -> Tensor:
    """Sum the relevance of key/value heads that were repeated ``groups`` times (dim 1)."""
    return relevance.unflatten(1, (-1, groups)).sum(2)
