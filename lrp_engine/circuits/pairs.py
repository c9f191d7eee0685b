"""Clean and corrupted inputs of one length, and the number that their difference is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import InputError, TargetError

Metric = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Pairs:
    """Prompt i of `clean` goes with prompt i of `corrupt`; `metric` gives one number per prompt.

    The metric takes the model's output (logits) for this batch and returns (batch,). Each input is
    what the model is called with: a tensor, a tuple, or a mapping of keyword arguments.

    Raises InputError if clean and corrupt differ in structure or shape.
    """

    clean: Any
    corrupt: Any
    metric: Metric

    def __post_init__(self) -> None:
        clean, clean_spec = pytree.tree_flatten(self.clean)
        corrupt, corrupt_spec = pytree.tree_flatten(self.corrupt)
        if clean_spec != corrupt_spec:
            raise InputError("clean and corrupt inputs differ in structure")
        for a, b in zip(clean, corrupt, strict=True):
            if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape != b.shape:
                raise InputError(
                    f"clean and corrupt inputs must have the same shape, not {tuple(a.shape)} and"
                    f" {tuple(b.shape)}: patching compares them position by position"
                )


@dataclass(frozen=True)
class LogitDifference:
    """logit(answer) - logit(wrong) at one position, per prompt.

    `answer` and `wrong` are one token per prompt, or several, (batch, k), whose mean is taken.

    Example:
        >>> import torch
        >>> metric = LogitDifference(torch.tensor([2]), torch.tensor([0]))
        >>> metric(torch.tensor([[[0.0, 0.0, 9.0], [1.0, 0.0, 4.0]]]))
        tensor([3.])
    """

    answer: Tensor
    wrong: Tensor
    position: int = -1

    def __call__(self, logits: Tensor) -> Tensor:
        """(batch,) from logits (batch, position, vocabulary) or (batch, vocabulary)."""
        row = logits if logits.dim() == 2 else logits[:, self.position]
        return _mean_at(row, self.answer) - _mean_at(row, self.wrong)


def logit_difference(answer: Any, wrong: Any, position: int = -1) -> LogitDifference:
    """logit(answer) - logit(wrong) at `position`, per prompt; see `LogitDifference`."""
    return LogitDifference(torch.as_tensor(answer), torch.as_tensor(wrong), position)


def measured(metric: Metric, output: Tensor) -> Tensor:
    """The metric of an output, checked to be one number per prompt. Raises TargetError."""
    number = metric(output)
    if not isinstance(number, Tensor) or number.shape != output.shape[:1]:
        shape = tuple(number.shape) if isinstance(number, Tensor) else type(number).__name__
        raise TargetError(
            f"the metric must return one number per prompt, shape ({output.shape[0]},), not {shape}"
        )
    return number


def slope(metric: Metric, output: Tensor) -> Tensor:
    """The gradient of the metric by the output: the coefficient that relevance starts from."""
    with torch.enable_grad():
        variable = output.detach().requires_grad_()
        number = measured(metric, variable)
        if not number.requires_grad:
            raise TargetError("the metric must be computed from the output it is given")
        (gradient,) = torch.autograd.grad(number.sum(), variable)
    return gradient


def _mean_at(row: Tensor, tokens: Tensor) -> Tensor:
    index = tokens.to(row.device)
    index = index[:, None] if index.dim() == 1 else index
    return row.gather(1, index).mean(1)
