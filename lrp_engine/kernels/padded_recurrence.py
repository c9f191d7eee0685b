"""Define recurrent layers over padded sequences of given lengths: torch has them over packed ones.

What a packed sequence looks like depends on the lengths, which are data; a padded one does not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .steps import Tensors

_LAYER = "lrp_engine::padded_recurrence"
_FULL = "lrp_engine::require_full_length"
torch.library.define(
    _LAYER,
    "(str kind, Tensor x, Tensor lengths, Tensor[] hx, Tensor[] params, bool has_biases,"
    " int num_layers, float dropout, bool train, bool bidirectional) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)
torch.library.define(
    _FULL, "(Tensor lengths, SymInt steps) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,)
)
padded_recurrence: Any = torch.ops.lrp_engine.padded_recurrence
require_full_length: Any = torch.ops.lrp_engine.require_full_length


def _run_packed(
    kind: str, x: Tensor, lengths: Tensor, hx: Tensors, params: Tensors, *settings: object
) -> list[Tensor]:
    """Pack, run torch's own layer and pad again.

    Args:
        kind: The layer's name in torch: lstm, gru, rnn_tanh, rnn_relu.
        x: Inputs (time, batch, features).
        lengths: Of each sequence (batch,), int64, the longest first.
        hx: First states, each (layers * directions, batch, hidden).
        params: Weights in torch's order.
        settings: As `torch._VF.lstm` takes them for packed sequences.

    Returns:
        Outputs (time, batch, hidden * directions), 0 behind each sequence; last states.
    """
    data, sizes = torch._VF._pack_padded_sequence(x, lengths.cpu(), False)
    states = tuple(hx) if kind == "lstm" else hx[0]
    out, *last = getattr(torch._VF, kind)(data, sizes, states, list(params), *settings)
    padded, _ = torch._VF._pad_packed_sequence(out, sizes, False, 0.0, x.shape[0])
    return [padded, *last]


def _like_padded(
    kind: str, x: Tensor, lengths: Tensor, hx: Tensors, params: Tensors, *settings: object
) -> list[Tensor]:
    directions = 1 + bool(settings[-1])
    out = x.new_empty((*x.shape[:2], hx[0].shape[-1] * directions))
    return [out, *(torch.empty_like(state) for state in hx)]


def _checked(lengths: Tensor, steps: int) -> Tensor:
    """Return the lengths; raise ValueError if no sequence is as long as the padded ones."""
    longest = int(lengths.max())
    if longest != steps:
        raise ValueError(
            f"the longest sequence has {longest} steps, and the padded ones {steps}: the model"
            " would cut its padded output to the longest. Give inputs without the steps that all"
            " lack, or let the model pad to a total_length"
        )
    return lengths.clone()


torch.library.impl(_LAYER, "CompositeExplicitAutograd")(_run_packed)
torch.library.register_fake(_LAYER, _like_padded)
torch.library.impl(_FULL, "CompositeExplicitAutograd")(_checked)
torch.library.register_fake(_FULL, lambda lengths, steps: torch.empty_like(lengths))


def find_inside(steps: int, lengths: Tensor) -> Tensor:
    """Return which steps (steps, batch, 1) lie within each sample's sequence."""
    return (torch.arange(steps, device=lengths.device)[:, None] < lengths).unsqueeze(-1)


def keep_outside(inside: Tensor, new: Tensors, old: Tensors) -> tuple[Tensor, ...]:
    """Return new states within each sample's sequence, and the old ones behind its end."""
    return tuple(torch.where(inside, n, o) for n, o in zip(new, old, strict=True))
