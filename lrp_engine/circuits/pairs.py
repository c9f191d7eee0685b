"""Hold clean and corrupted inputs of one length, with the metric that compares their outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..boundary.user_code import calling
from ..errors import InputError, TargetError
from ..graphs.precision import change
from ..run.target import explained, seed_between

Metric = Callable[[Tensor], Tensor]
ModelInputs = Tensor | tuple[object, ...] | Mapping[str, object]
Tokens = Tensor | Sequence[int] | Sequence[Sequence[int]]

_ROUNDINGS = 8


@dataclass(frozen=True)
class Pairs:
    """A batch of clean prompts and one of corrupted prompts: prompt i goes with prompt i.

    Args:
        clean: what the model is called with: a tensor, a tuple, or a mapping of keyword arguments.
        corrupt: the same, of the same structure and shapes.
        metric: takes the model's output (logits) for this batch and returns (batch,).

    Raises:
        InputError: clean and corrupt differ in structure or shape.

    Example:
        >>> import torch
        >>> clean, corrupt = torch.tensor([[3, 1, 4]]), torch.tensor([[2, 1, 4]])
        >>> pairs = Pairs(clean, corrupt, logit_difference(answer=[7], wrong=[5]))
    """

    clean: ModelInputs
    corrupt: ModelInputs
    metric: Metric

    def __post_init__(self) -> None:
        clean, clean_spec = pytree.tree_flatten(self.clean)
        corrupt, corrupt_spec = pytree.tree_flatten(self.corrupt)
        if clean_spec != corrupt_spec:
            raise InputError("clean and corrupt inputs differ in structure")
        for a, b in zip(clean, corrupt, strict=True):
            if isinstance(a, Tensor) and a.dim() and len(a) == 0:
                raise InputError("there are no pairs: the batch is empty")
            if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape != b.shape:
                raise InputError(
                    f"clean and corrupt inputs must have the same shape, not {tuple(a.shape)} and"
                    f" {tuple(b.shape)}: patching compares them position by position"
                )


@dataclass(frozen=True)
class LogitDifference:
    """The metric logit(answer) - logit(wrong) at one position, per prompt.

    Args:
        answer: one token id per prompt, (batch,), or several, (batch, k), whose mean is taken.
        wrong: the same.
        position: of the logits that are compared.

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
        """Return (batch,) from logits, (batch, position, vocabulary) or (batch, vocabulary)."""
        row = logits if logits.dim() == 2 else logits[:, self.position]
        return _mean_at(row, self.answer) - _mean_at(row, self.wrong)


def logit_difference(answer: Tokens, wrong: Tokens, position: int = -1) -> LogitDifference:
    """Make the metric logit(answer) - logit(wrong) at `position`; see `LogitDifference`."""
    return LogitDifference(torch.as_tensor(answer), torch.as_tensor(wrong), position)


def evaluate_metric(metric: Metric, output: Tensor) -> Tensor:
    """Compute the metric of an output, (batch,).

    Raises:
        TargetError: the metric does not return one number per prompt.
        UserCodeError: the metric raises an exception.
    """
    with calling("the metric"):
        number = metric(output)
    if not isinstance(number, Tensor) or number.shape != output.shape[:1]:
        shape = tuple(number.shape) if isinstance(number, Tensor) else type(number).__name__
        raise TargetError(
            f"the metric must return one number per prompt, shape ({output.shape[0]},), not {shape}"
        )
    return number


def differentiate_metric(metric: Metric, output: Tensor, reference: Tensor | None = None) -> Tensor:
    """Return the coefficient of the output that relevance starts from.

    Args:
        metric: takes an output and returns one number per prompt.
        output: of one run.
        reference: the output of another run, if relevance is to explain the difference.

    Returns:
        The gradient of the metric by the output. With a reference, a coefficient c with
        sum c (output - reference) = the metric's difference: the gradient halfway between the
        outputs where that does it, as for every linear metric; else the gradient's mean on the way.

    Raises:
        TargetError: the metric does not depend on the output, or is not one number per prompt; or
            its gradient is not finite.
        UserCodeError: the metric raises an exception.
    """
    if reference is None:
        return _gradient(metric, output)
    halfway = _gradient(metric, torch.lerp(reference, output, 0.5))
    if _gives_difference(metric, output, reference, halfway):
        return halfway
    return seed_between(output, reference, partial(evaluate_metric, metric)).dense()


def _gives_difference(metric: Metric, b: Tensor, a: Tensor, c: Tensor) -> bool:
    """Return whether sum c (b - a) is the metric's difference for every prompt, up to rounding."""
    gap = evaluate_metric(metric, b).double() - evaluate_metric(metric, a).double()
    read = c.flatten(1).ne(0).any(0)  # few: a metric reads some logits of one position
    b, a, c = (x.flatten(1)[:, read] for x in (b, a, c))
    size = explained(b.abs(), c.abs()) + explained(a.abs(), c.abs())
    found = explained(change(b, a), c)
    return bool(((found - gap).abs() <= _ROUNDINGS * torch.finfo(b.dtype).eps * size).all())


def _gradient(metric: Metric, output: Tensor) -> Tensor:
    with torch.enable_grad():
        variable = output.detach().requires_grad_()
        number = evaluate_metric(metric, variable)
        if not number.requires_grad:
            raise TargetError(
                "the metric must be computed from the output it is given, with torch operations"
            )
        with calling("the gradient of the metric"):
            (gradient,) = torch.autograd.grad(number.sum(), variable)
    if not bool(torch.isfinite(gradient).all()):
        raise TargetError("the gradient of the metric by the model's output is not finite")
    return gradient


def _mean_at(row: Tensor, tokens: Tensor) -> Tensor:
    index = tokens.to(row.device)
    index = index[:, None] if index.dim() == 1 else index
    return row.gather(1, index).mean(1)
