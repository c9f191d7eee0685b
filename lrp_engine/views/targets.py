"""Choose the targets of a page and name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import InputError, TargetError
from ..run.target import Position, Target
from ..show.labels import Labels
from ..show.questions import Question


@dataclass(frozen=True)
class NamedTarget:
    """A target, and what it is called."""

    target: Target
    position: Position
    label: str
    question: str
    probability: float | None = None


def choose_targets(
    output: Tensor,
    targets: Sequence[Target] | None,
    position: Position,
    sample: int,
    top: int,
    labels: Labels,
) -> tuple[NamedTarget, ...]:
    """Return the given targets, or the classes of largest output of one sample.

    Raises:
        InputError: there is no such sample.
        TargetError: the output has other axes than batch, positions and classes.
    """
    if not 0 <= sample < len(output):
        raise InputError(f"there is no sample {sample}: the batch has {len(output)}")
    if targets is None and (output.dim() == 1 or output.shape[1:].numel() == 1):
        return (NamedTarget(None, None, "output", "why this output?"),)
    if targets is None and output.dim() not in (2, 3):
        raise TargetError(
            f"the output has shape {tuple(output.shape)}: name the targets, for it is not"
            " (batch, classes) or (batch, positions, classes)"
        )
    if output.dim() == 3 and position is None:
        position = -1
    row = output[sample] if output.dim() == 2 else _row(output[sample], position)
    if targets is None:
        targets = row.topk(min(top, len(row))).indices.tolist()
    return tuple(_name(target, position, row, labels) for target in targets)


def _row(output: Tensor, position: Any) -> Tensor:
    return output[position] if isinstance(position, int) else output[-1]


def _name(target: Target, position: Position, row: Tensor, labels: Labels) -> NamedTarget:
    question = Question(_classes(target), about="this metric").text(labels.class_names)
    if isinstance(target, int):
        chance = float(row.double().softmax(-1)[target]) if row.dim() == 1 else None
        named = 0 <= target < len(labels.class_names)
        label = labels.class_names[target] if named else f"class {target}"
        return NamedTarget(target, position, label, question, chance)
    return NamedTarget(target, position, question.removeprefix("why ").rstrip("?"), question)


def _classes(target: Target) -> tuple[tuple[int, float], ...]:
    if isinstance(target, int):
        return ((target, 1.0),)
    if isinstance(target, Mapping):
        return tuple(sorted(((int(k), float(w)) for k, w in target.items()), key=lambda x: -x[1]))
    return ()
