"""Turn classes that a target names into a weight per class and sample."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import TargetError, suggest

PREDICTED = "predicted"  # the class with the largest output, of each sample
ClassWeights = Mapping[int, float] | Mapping[str, float] | Mapping[int | str, float]
ClassTarget = int | str | ClassWeights | Sequence[int | str | ClassWeights]


def class_weights(output: Tensor, target: Any) -> Tensor:
    """Return the weight of each class for each sample, (batch, classes).

    Written on the output's device, and nothing there is waited for, unless the target weighs the
    predicted class: an accelerator may still be at work on the forward pass.

    Args:
        output: (batch, classes).
        target: A class, "predicted", {class: weight}, or one of these per sample.

    Raises:
        TargetError: a class does not exist, or the target cannot be read.
    """
    batch, classes = output.shape
    weights = output.new_zeros(batch, classes)
    if isinstance(target, str):
        _refuse_names(target)
        return weights.scatter_(1, output.detach().argmax(-1, keepdim=True), 1)
    if mentions_predicted(target):
        target = _decide_predicted(output, target)
    if isinstance(target, Mapping):
        return _add(weights, target, classes)
    if isinstance(target, int):
        weights[:, check_class(target, classes)] = 1
        return weights
    if _has_mappings(target):
        _require_per_sample((len(target),), batch)
        for row, each in zip(weights, target, strict=True):
            _add(row[None], each if isinstance(each, Mapping) else {each: 1.0}, classes)
        return weights
    per_sample = _as_numbers(target)
    if per_sample.dim() == 0:
        return class_weights(output, int(per_sample))
    _require_per_sample(tuple(per_sample.shape), batch)
    chosen = [check_class(int(c), classes) for c in per_sample]
    return weights.scatter_(1, send(chosen, output.device)[:, None], 1)


def mentions_predicted(target: Any) -> bool:
    """Return whether a target of classes depends on the output: it holds "predicted"."""
    return any(True for _ in _words(target))


def _decide_predicted(output: Tensor, target: Any) -> Any:
    """Return one target per sample, with the number of its largest output for "predicted"."""
    for word in _words(target):
        _refuse_names(word)
    numbers = output.detach().argmax(-1).tolist()
    per_sample = [target] * len(numbers) if isinstance(target, Mapping) else target
    _require_per_sample((len(per_sample),), len(numbers))
    return [_replaced(each, n) for each, n in zip(per_sample, numbers, strict=True)]


def _refuse_names(word: str) -> None:
    """Raise TargetError for a text other than "predicted": an output knows no names."""
    if word != PREDICTED:
        raise TargetError(
            f"{word!r} is no class of this output: they are numbers here, or {PREDICTED!r}"
            f"{suggest(word, [PREDICTED], listed=False)}. Names are known to"
            " lrp.explain(model, ..., classes=[...])"
        )


def _has_mappings(target: Any) -> bool:
    return isinstance(target, Sequence) and any(isinstance(each, Mapping) for each in target)


def _words(target: Any) -> Iterator[str]:
    """Yield the texts in a target of classes."""
    if isinstance(target, str):
        yield target
    elif isinstance(target, Mapping):
        yield from (key for key in target if isinstance(key, str))
    elif isinstance(target, Sequence):
        for each in target:
            if isinstance(each, (str, Mapping)):
                yield from _words(each)


def _replaced(target: Any, number: int) -> Any:
    """Return the target of one sample, with the number of its predicted class."""
    if not isinstance(target, Mapping):
        return number if isinstance(target, str) else target
    found: dict[Any, float] = {}
    for key, weight in target.items():
        place = number if isinstance(key, str) else key
        found[place] = found.get(place, 0.0) + weight
    return found


def _add(weights: Tensor, target: Mapping[Any, float], classes: int) -> Tensor:
    """Add weights by class to every row. Raises TargetError if no class has one."""
    if not any(target.values()):
        raise TargetError(f"{dict(target)} gives no class a weight: nothing would be explained")
    for index, weight in target.items():
        weights[:, check_class(index, classes)] += weight
    return weights


def _as_numbers(target: Any) -> Tensor:
    """Return classes as a tensor of whole numbers. Raises TargetError if they are none."""
    if isinstance(target, Tensor) and target.device.type != "cpu" and target.dtype == torch.int64:
        return target
    try:
        _refuse_flags(target)
        found = torch.as_tensor(target, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TargetError(f"cannot read the target {target!r}: {error}") from error
    if found.dtype.is_floating_point or found.dtype.is_complex:
        raise TargetError(f"a class is a whole number, not {target!r}")
    return found


def _require_per_sample(shape: tuple[int, ...], batch: int) -> None:
    if shape != (batch,):
        raise TargetError(
            f"one class per sample is needed: {batch} for this batch, the target has shape {shape}"
        )


def send(numbers: Sequence[int], device: torch.device) -> Tensor:
    """Return whole numbers on a device, without waiting for it."""
    return torch.tensor(numbers).to(device, non_blocking=True)


def check_class(index: Any, classes: int) -> int:
    """Return a class; unlike a position, it is not counted from the end. Raises TargetError."""
    found = check_index(index, classes)
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


def check_index(index: Any, size: int, what: str = "class") -> int:
    """Return an index below `size`, counted from the end if negative. Raises TargetError."""
    if _is_flag(index):
        raise TargetError(f"a {what} is a whole number, not {index!r}")
    try:
        index = operator.index(index)
    except TypeError as error:
        raise TargetError(f"a {what} is a whole number, not {index!r}") from error
    if not -size <= index < size:
        raise TargetError(f"{what} {index} is out of range: the output has {size} of them")
    return int(index) % size
