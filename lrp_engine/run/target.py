"""Turn a user's target into the coefficient of the output: what is to be explained."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..boundary.user_code import calling
from ..errors import TargetError
from ..graphs.precision import change
from ..method.relevance import relevance_of

_METRIC_POINTS = 8

Metric = Callable[[Tensor], Tensor]
Target = int | Sequence[int] | Mapping[int, float] | Metric | Tensor | None
Position = int | slice | Sequence[int] | Tensor | None


@dataclass(frozen=True)
class Row:
    """A seed that is zero but for one row per sample: weights (batch, classes), rows (batch,)."""

    weights: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Seed:
    """The coefficient c at the output, and the explained number sum(c * output) per sample.

    `row` is given where a single position per sample is seeded; `dense()` is c in full.
    """

    dense: Callable[[], Tensor]
    explained: Tensor
    row: Row | None = None

    def detached(self) -> Seed:
        """Return the same numbers, cut off from what they were computed from."""
        row = self.row and Row(self.row.weights.detach(), self.row.rows)
        return Seed(lambda: self.dense().detach(), self.explained.detach(), row)


def seed_of(output: Tensor, target: Target, position: Position = None) -> Seed:
    """Resolve a target to what relevance starts from.

    Args:
        output: (batch, classes), or (batch, positions, classes) with `position`.
        target: one class, one class per sample, {class: weight}, a metric of the output (its
            gradient is the coefficient, differentiable itself where gradients are being recorded),
            or a coefficient of the output's shape. None if the output is one number per sample.
        position: one for all samples, one per sample, or a slice, over which the target is summed.

    Returns:
        The coefficient at the output, of its shape, and the explained number per sample, (batch,).

    Raises:
        TargetError: the target does not fit the output.
    """
    _require_samples(output)
    if isinstance(target, Tensor) and _is_coefficient(target):
        seed = _ready(output, target)
    elif callable(target) and not isinstance(target, Tensor):
        seed = _of_metric(output, target)
    elif target is None:
        seed = _single(output)
    else:
        return _of_classes(output, target, position)
    if position is not None:
        raise TargetError(
            "a position was given, but no class: a metric or a ready tensor chooses its positions"
        )
    return _whole(output, seed)


def take_rows(output: Tensor, rows: Tensor) -> Tensor:
    """Return one row per sample of an output (batch, positions, classes): (batch, 1, classes)."""
    return output[torch.arange(len(rows), device=rows.device), rows].unsqueeze(1)


def seed_between(b: Tensor, a: Tensor, target: Target, position: Position = None) -> Seed:
    """Resolve a target to the coefficient of the difference of two outputs.

    Args:
        b: Output of the explained run.
        a: Output of the reference run.
        target: As for `seed_of`. The gradient of a metric is averaged on the way from a to b, so
            that it gives the metric's difference (exactly if that is a polynomial up to degree 16).
        position: As for `seed_of`.

    Returns:
        The coefficient, and the explained number per sample: target of b less target of a.

    Raises:
        TargetError: The target does not fit the output.
    """
    if callable(target) and not isinstance(target, Tensor):
        dense = _between(b, a, target, position).dense()
        return Seed(lambda: dense, explained(change(b, a), dense))
    seed, base = (seed_of(output, target, position) for output in (b, a))
    return Seed(seed.dense, change(seed.explained, base.explained), seed.row)


def _between(b: Tensor, a: Tensor, metric: Metric, position: Position) -> Seed:
    places, weights = np.polynomial.legendre.leggauss(_METRIC_POINTS)
    parts = []
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        at = seed_of(torch.lerp(a, b, float(place)), metric, position)
        parts.append(float(weight) * at.dense())
    total = torch.stack(parts).sum(0)
    return Seed(lambda: total, explained(b, total))


def seed_at_rows(row: Tensor, target: Target, rows: Tensor, positions: int) -> Seed:
    """Resolve a class at `rows` (batch,), where only those rows of the output are known.

    `row` has shape (batch, 1, classes). Raises TargetError.
    """
    _require_samples(row)
    if not is_class(target):
        raise TargetError(
            "only classes can be explained at the rows alone: for a metric or a ready coefficient"
            " leave full_output out"
        )
    return _at_rows(row[:, 0], _weights(row, target), rows, positions)


def _require_samples(output: Tensor) -> None:
    if output.numel() == 0:
        raise TargetError(
            f"there is nothing to explain: the output has shape {tuple(output.shape)}, no entries"
        )


def _is_coefficient(target: Target) -> bool:
    return isinstance(target, Tensor) and target.dtype.is_floating_point


def _whole(output: Tensor, seed: Tensor) -> Seed:
    return Seed(lambda: seed, explained(output, seed))


def explained(output: Tensor, seed: Tensor) -> Tensor:
    """Return the explained number per sample, (batch,); a number if there is no batch axis."""
    product = relevance_of(seed, output, torch.float64)
    return product.flatten(1).sum(1) if product.dim() > 1 else product


def _of_metric(output: Tensor, metric: Metric) -> Tensor:
    recorded = torch.is_grad_enabled() and output.requires_grad
    with torch.enable_grad():
        variable = output if recorded else output.detach().requires_grad_()
        with calling("the metric"):
            number = metric(variable)
        if not isinstance(number, Tensor) or number.requires_grad is False:
            raise TargetError(
                "the metric must return a tensor computed from the output it is given"
            )
        with calling("the gradient of the metric"):
            (gradient,) = torch.autograd.grad(number.sum(), variable, create_graph=recorded)
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


def _of_classes(output: Tensor, target: Any, position: Position) -> Seed:
    if output.dim() < 2:
        raise TargetError(
            f"a class needs an output of shape (batch, ..., classes), not {output.dim()}-d"
        )
    weights = _weights(output, target)
    if output.dim() == 2:
        if position is not None:
            raise TargetError("a position was given, but the output has no axis of positions")
        return _whole(output, weights)
    if output.dim() > 3 or position is None:
        raise TargetError(
            f"the output has shape {tuple(output.shape)}: say which position the class is meant at"
            " (position=-1 for the last token), or give a metric"
        )
    if isinstance(position, slice):
        seed = torch.zeros_like(output)
        seed[:, position] = weights[:, None]
        if seed[:, position].numel() == 0:
            raise TargetError(f"{position} holds none of the {output.shape[1]} positions")
        return _whole(output, seed)
    batch, positions = output.shape[:2]
    rows = rows_of(position, batch, positions, output.device)
    there = output[torch.arange(batch, device=output.device), rows]
    return _at_rows(there, weights, rows, positions)


def _at_rows(there: Tensor, weights: Tensor, rows: Tensor, positions: int) -> Seed:
    """One position per sample; `there` (batch, classes) is the output at them."""
    batch, classes = there.shape

    def dense() -> Tensor:
        index = (torch.arange(batch, device=there.device), rows)
        return there.new_zeros(batch, positions, classes).index_put(index, weights)

    return Seed(dense, explained(there, weights), Row(weights, rows))


def _weights(output: Tensor, target: Any) -> Tensor:
    """(batch, classes): the weight of each class for each sample.

    Written on the output's device, and nothing there is waited for: an accelerator may still be at
    work on the forward pass.
    """
    batch, classes = output.shape[0], output.shape[-1]
    weights = output.new_zeros(batch, classes)
    if isinstance(target, Mapping):
        if not any(target.values()):
            raise TargetError(f"{dict(target)} gives no class a weight: nothing would be explained")
        for index, weight in target.items():
            weights[:, _class(index, classes)] += weight
        return weights
    if isinstance(target, int):
        weights[:, _class(target, classes)] = 1
        return weights
    try:
        _refuse_flags(target)
        per_sample = torch.as_tensor(target, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TargetError(f"cannot read the target {target!r}: {error}") from error
    if per_sample.dtype.is_floating_point or per_sample.dtype.is_complex:
        raise TargetError(f"a class is a whole number, not {target!r}")
    if per_sample.dim() == 0:
        return _weights(output, int(per_sample))
    if per_sample.shape != (batch,):
        raise TargetError(
            f"one class per sample is needed: {batch} for this batch, the target has shape"
            f" {tuple(per_sample.shape)}"
        )
    chosen = [_class(int(c), classes) for c in per_sample]
    return weights.scatter_(1, _sent(chosen, output.device)[:, None], 1)


def _sent(numbers: Sequence[int], device: torch.device) -> Tensor:
    """Whole numbers on a device, without waiting for it."""
    return torch.tensor(numbers).to(device, non_blocking=True)


def _class(index: Any, classes: int) -> int:
    """Return a class; unlike a position, it is not counted from the end."""
    found = _checked(index, classes)
    if operator.index(index) < 0:
        raise TargetError(
            f"there is no class {index}: classes are counted from 0. The last one is {classes - 1}"
        )
    return found


def _refuse_flags(target: Any) -> None:
    """Raise TargetError for true and false: they answer a question, and name no class."""
    dtype = str(getattr(target, "dtype", ""))
    entries = target if isinstance(target, Sequence) else [target]
    if dtype.endswith("bool") or any(map(_is_flag, entries)):
        raise TargetError(f"a class is a whole number, not {target!r}")


def _is_flag(value: object) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")


def _checked(index: Any, size: int, what: str = "class") -> int:
    if _is_flag(index):
        raise TargetError(f"a {what} is a whole number, not {index!r}")
    try:
        index = operator.index(index)
    except TypeError as error:
        raise TargetError(f"a {what} is a whole number, not {index!r}") from error
    if not -size <= index < size:
        raise TargetError(f"{what} {index} is out of range: the output has {size} of them")
    return int(index) % size


def is_class(target: Target) -> bool:
    """Return whether a target names classes: no metric, no coefficient, not nothing."""
    return not (target is None or callable(target) or _is_coefficient(target))


def is_rows(position: Position) -> bool:
    """Return whether a position means one row per sample."""
    return isinstance(position, (int, Sequence, Tensor))


def rows_of(position: Any, batch: int, positions: int, device: torch.device) -> Tensor:
    """(batch,): where the target sits in each sample. Raises TargetError."""
    if isinstance(position, int):
        chosen = [_checked(position, positions, "position")] * batch
    else:
        chosen = [_checked(p, positions, "position") for p in position]
    if len(chosen) != batch:
        raise TargetError(f"one position per sample is needed: {batch}, not {len(chosen)}")
    return _sent(chosen, device)
