"""Bring a model of any kind, and explain it in one call."""

from __future__ import annotations

from typing import Any

from ..results.explanation import Explanation
from .subject import Subject


def explain(
    model: Any,
    inputs: Any,
    target: Any = None,
    *,
    position: Any = None,
    ledger: bool = False,
    seed: int | None = None,
    reference: Any = None,
    **options: Any,
) -> Explanation:
    """Bring a model, capture it, and explain data in one call.

    Use a `Subject`, or an `Engine`, to explain more than one batch: they capture once.

    Args:
        model: As for `Subject`.
        inputs: Texts, images, rows, sounds, paths of files, lists of these; or what the model is
            called with, as for `Engine`.
        target: A class by number or name, "predicted", the text of a token, {name: weight} for
            one rather than another, one of these per sample, a metric, or a coefficient.
        position: Where in a sequence: a number or a word, one for all samples or one per sample.
        ledger: As for `Engine.explain`.
        seed: As for `Engine.explain`.
        reference: As for `Engine.explain`, or data of the kind of the inputs.
        options: Those of `Subject` and `Engine`.

    Returns:
        The explanation, which knows its words, images, features and class names.

    Raises:
        CaptureError: It is no model, or cannot be captured.
        InputError: The model does not take such data.
        TargetError: The target names nothing.

    Example:
        >>> import torch, lrp_engine as lrp
        >>> model = torch.nn.Linear(4, 3).eval()
        >>> lrp.explain(model, torch.ones(2, 4), "predicted").relevance["input"].shape
        torch.Size([2, 4])
    """
    return Subject(model, **options).explain(
        inputs, target, position=position, ledger=ledger, seed=seed, reference=reference
    )
