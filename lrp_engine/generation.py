"""Explain a generated text token by token from one forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .capture.signature import as_call
from .engine import Engine
from .errors import InputError
from .results.explanation import Explanation


@dataclass(frozen=True)
class ExplainedToken:
    """One generated token and its explanation: `token[b]` stands at `position` of sample b."""

    position: int
    token: Tensor
    explanation: Explanation


def explain_generation(
    engine: Engine, inputs: object, start: int, *, ids: str = "input_ids"
) -> Iterator[ExplainedToken]:
    """Explain the logit of every token from `start` on, at the position before it.

    The model is run once over the whole text. In a causal model a logit depends on no later token,
    so each explanation is that of the text up to there, and relevance at later positions is zero.

    Args:
        engine: an engine of a model with logits of shape (batch, length, vocabulary).
        inputs: as for `Engine.explain`: prompt and generated text in one.
        start: the position of the first generated token; at least 1.
        ids: the input that holds the tokens (`decoder_input_ids` for an encoder-decoder).

    Yields:
        One explained token per position; relevance is in the unit of that token's logit.

    Raises:
        InputError: there is no input `ids`, or the text has no position `start`.

    Example:
        >>> import torch, lrp_engine as lrp
        >>> def model(input_ids):  # reads each token alone, and says which one comes next
        ...     return torch.nn.functional.embedding(input_ids, torch.eye(5).roll(1, 1))
        >>> text = torch.tensor([[0, 1, 2, 3]])
        >>> engine = lrp.Engine(model, text)
        >>> [int(step.token) for step in lrp.explain_generation(engine, text, start=2)]
        [2, 3]
    """
    tokens = _tokens(engine, inputs, ids)
    if not 1 <= start < tokens.shape[1]:
        raise InputError(f"start={start}: the text has positions 1 to {tokens.shape[1] - 1}")
    run = engine.forward(inputs)
    for position in range(start, tokens.shape[1]):
        token = tokens[:, position]
        yield ExplainedToken(position, token, run.explain(token, position=position - 1))


def relevance_of_text(steps: list[ExplainedToken], source: str = "input") -> Tensor:
    """Stack the relevance per token of several explained tokens.

    Args:
        steps: The results of `explain_generation`, in order.
        source: The source whose relevance is read.

    Returns:
        A tensor (batch, generated tokens, positions). Row k is about the k-th generated token;
        entries have the unit of its logit.
    """
    return torch.stack([step.explanation.per_token(source) for step in steps], 1)


def _tokens(engine: Engine, inputs: object, ids: str) -> Tensor:
    args, kwargs = as_call(inputs)
    names = [port.name for port in engine.captured.inputs]
    if ids not in names:
        raise InputError(f"the model has no input {ids!r}; choose from: {', '.join(names)}")
    found = engine.captured.flatten_inputs(args, kwargs)[names.index(ids)]
    if not isinstance(found, Tensor):
        raise InputError(f"input {ids!r} is a {type(found).__name__}, not a tensor of token ids")
    return found
