"""What is to be explained: turns a user's target into the coefficient of the model's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import TargetError

Metric = Callable[[Tensor], Tensor]
Target = int | Sequence[int] | Mapping[int, float] | Metric | Tensor | None
Position = int | slice | Sequence[int] | Tensor | None


def seed_of(output: Tensor, target: Target, position: Position = None) -> Tensor:
    """The coefficient c at the output, so that the explained number is sum(c * output).

    `output` has shape (batch, classes), or (batch, positions, classes) with `position`.
    `target`: one class, one class per sample, {class: weight}, a metric of the output (its
    gradient is the coefficient), or a ready coefficient of the output's shape. None if the
    output is one number per sample. `position`: one for all samples, one per sample, or a
    slice, over which the target is summed.

    Raises TargetError if the target does not fit the output.
    """
    if callable(target) and not isinstance(target, Tensor):
        return _of_metric(output, target)
    if isinstance(target, Tensor) and target.dtype.is_floating_point:
        return _ready(output, target)
    if target is None:
        return _single(output)
    return _of_classes(output, target, position)


def explained(output: Tensor, seed: Tensor) -> Tensor:
    """The number that is explained, per sample (one number if the output has no batch axis)."""
    product = torch.where(seed == 0, 0.0, seed.double() * output.double())
    return product.flatten(1).sum(1) if product.dim() > 1 else product


def _of_metric(output: Tensor, metric: Metric) -> Tensor:
    with torch.enable_grad():
        variable = output.detach().requires_grad_()
        number = metric(variable)
        if not isinstance(number, Tensor) or number.requires_grad is False:
            raise TargetError(
                "the metric must return a tensor computed from the output it is given"
            )
        (gradient,) = torch.autograd.grad(number.sum(), variable)
    return gradient


def _ready(output: Tensor, target: Tensor) -> Tensor:
    if target.shape != output.shape:
        raise TargetError(
            f"a target tensor is the coefficient of every output entry: shape"
            f" {tuple(output.shape)} is needed, {tuple(target.shape)} was given"
        )
    return target.to(output)


def _single(output: Tensor) -> Tensor:
    if output.dim() > 1 and output[0].numel() != 1:
        raise TargetError(
            f"no target was given, and the output of shape {tuple(output.shape)} has"
            f" {output[0].numel()} entries per sample: name a class, {{class: weight}}, or a metric"
        )
    return torch.ones_like(output)


def _of_classes(output: Tensor, target: Any, position: Position) -> Tensor:
    if output.dim() < 2:
        raise TargetError(
            f"a class needs an output of shape (batch, ..., classes), not {output.dim()}-d"
        )
    rows = _rows(output, position)
    weights = _weights(output, target)
    seed = torch.zeros_like(output)
    spread = weights.view(weights.shape[0], *(1,) * (output.dim() - 2), weights.shape[1])
    return torch.where(rows.unsqueeze(-1), spread, seed)


def _weights(output: Tensor, target: Any) -> Tensor:
    """(batch, classes): the weight of each class for each sample."""
    batch, classes = output.shape[0], output.shape[-1]
    weights = output.new_zeros(batch, classes)
    if isinstance(target, Mapping):
        for index, weight in target.items():
            weights[:, _checked(index, classes)] += weight
        return weights
    if isinstance(target, int):
        weights[:, _checked(target, classes)] = 1
        return weights
    try:
        per_sample = torch.as_tensor(target, dtype=torch.long, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TargetError(f"cannot read the target {target!r}: {error}") from error
    if per_sample.dim() == 0:
        return _weights(output, int(per_sample))
    if per_sample.shape != (batch,):
        raise TargetError(
            f"one class per sample is needed: {batch} for this batch, the target has shape"
            f" {tuple(per_sample.shape)}"
        )
    chosen = [_checked(int(c), classes) for c in per_sample]
    weights[torch.arange(batch), chosen] = 1
    return weights


def _checked(index: Any, size: int, what: str = "class") -> int:
    if not -size <= int(index) < size:
        raise TargetError(f"{what} {index} is out of range: the output has {size} of them")
    return int(index) % size


def _rows(output: Tensor, position: Position) -> Tensor:
    """(batch, ...positions): where the target sits."""
    where = output.shape[:-1]
    if output.dim() == 2:
        if position is not None:
            raise TargetError("a position was given, but the output has no axis of positions")
        return torch.ones(where, dtype=torch.bool, device=output.device)
    if output.dim() > 3 or position is None:
        raise TargetError(
            f"the output has shape {tuple(output.shape)}: say which position the class is meant at"
            " (position=-1 for the last token), or give a metric"
        )
    rows = torch.zeros(where, dtype=torch.bool, device=output.device)
    if isinstance(position, (int, slice)):
        index = (
            position if isinstance(position, slice) else _checked(position, where[1], "position")
        )
        rows[:, index] = True
        return rows
    chosen = [_checked(int(p), where[1], "position") for p in position]
    if len(chosen) != where[0]:
        raise TargetError(f"one position per sample is needed: {where[0]}, not {len(chosen)}")
    rows[torch.arange(where[0]), chosen] = True
    return rows
