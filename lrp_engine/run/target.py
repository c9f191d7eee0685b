"""Turn a user's target into the coefficient of the output: what is to be explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..boundary.user_code import calling
from ..errors import TargetError
from ..graphs.precision import change
from ..method.relevance import relevance_of
from .class_weights import ClassTarget, check_index, class_weights, mentions_predicted, send

_METRIC_POINTS = 8

Metric = Callable[[Tensor], Tensor]
Target = ClassTarget | Metric | Tensor | None
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
        target: a class, "predicted" or {class: weight}, one for all samples or one per sample; a
            metric of the output (its gradient is the coefficient, differentiable itself where
            gradients are being recorded); or a coefficient of the output's shape. None if the
            output is one number per sample.
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
    if mentions_predicted(target):  # of the explained run
        seed = seed_of(b, target, position)
        return Seed(seed.dense, explained(change(b, a), seed.dense()), seed.row)
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
    return _at_rows(row[:, 0], class_weights(row[:, 0], target), rows, positions)


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
            f" {output[0].numel()} entries per sample: name a class,"
            " 'predicted', {class: weight}, or a metric"
        )
    return torch.ones_like(output)


def _of_classes(output: Tensor, target: Any, position: Position) -> Seed:
    if output.dim() < 2:
        raise TargetError(
            f"a class needs an output of shape (batch, ..., classes), not {output.dim()}-d"
        )
    if output.dim() == 2:
        if position is not None:
            raise TargetError("a position was given, but the output has no axis of positions")
        return _whole(output, class_weights(output, target))
    if output.dim() > 3 or position is None:
        raise TargetError(
            f"the output has shape {tuple(output.shape)}: say which position the class is meant at"
            " (position=-1 for the last token), or give a metric"
        )
    if isinstance(position, slice):
        return _whole(output, _over_slice(output, target, position))
    batch, positions = output.shape[:2]
    rows = rows_of(position, batch, positions, output.device)
    there = take_rows(output, rows)[:, 0]
    return _at_rows(there, class_weights(there, target), rows, positions)


def _over_slice(output: Tensor, target: Any, position: slice) -> Tensor:
    """Return the coefficient of a class summed over positions; "predicted" is one at each."""
    seed, there = torch.zeros_like(output), output[:, position]
    if there.numel() == 0:
        raise TargetError(f"{position} holds none of the {output.shape[1]} positions")
    if mentions_predicted(target):
        seed[:, position] = torch.stack([class_weights(o, target) for o in there.unbind(1)], 1)
    else:
        seed[:, position] = class_weights(there[:, 0], target)[:, None]
    return seed


def _at_rows(there: Tensor, weights: Tensor, rows: Tensor, positions: int) -> Seed:
    """One position per sample; `there` (batch, classes) is the output at them."""
    batch, classes = there.shape

    def dense() -> Tensor:
        index = (torch.arange(batch, device=there.device), rows)
        return there.new_zeros(batch, positions, classes).index_put(index, weights)

    return Seed(dense, explained(there, weights), Row(weights, rows))


def is_class(target: Target) -> bool:
    """Return whether a target names classes: no metric, no coefficient, not nothing."""
    return not (target is None or callable(target) or _is_coefficient(target))


def is_rows(position: Position) -> bool:
    """Return whether a position means one row per sample."""
    return isinstance(position, (int, Sequence, Tensor))


def rows_of(position: Any, batch: int, positions: int, device: torch.device) -> Tensor:
    """(batch,): where the target sits in each sample. Raises TargetError."""
    if isinstance(position, int):
        chosen = [check_index(position, positions, "position")] * batch
    else:
        chosen = [check_index(p, positions, "position") for p in position]
    if len(chosen) != batch:
        raise TargetError(f"one position per sample is needed: {batch}, not {len(chosen)}")
    return send(chosen, device)
