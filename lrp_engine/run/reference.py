"""Read a reference: what a run is compared with, in the structure of the model's inputs."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..capture import Captured
from ..capture.signature import as_call
from ..errors import InputError
from ..preset.preset import Preset
from .inputs import check_inputs, flatten_inputs

_KINDS = (Tensor, tuple, list, Mapping, UserDict, int, float)


def require_reference(preset: Preset, reference: Any) -> None:
    """Raise InputError unless a reference is given just where the preset compares with one."""
    if preset.runs == 2 and reference is None:
        raise InputError(
            f"preset {preset.name!r} explains a difference and needs what to compare with: give"
            " explain(..., reference=...), a baseline of the inputs' structure (one per sample, or"
            " one for all), a number, or a Background"
        )
    if preset.runs == 1 and reference is not None:
        raise InputError(
            f"preset {preset.name!r} explains one run and takes no reference: omit it, or use"
            " preset='delta'"
        )


def flatten_reference(captured: Captured, reference: Any, inputs: Any) -> list[Any]:
    """Flatten a reference in the order of the captured inputs, one entry per sample.

    Args:
        captured: The model.
        reference: Of the inputs' structure. Tensors have the inputs' shapes, or a first axis of
            size 1, which stands for every sample. A mapping may omit arguments: those are as in
            the inputs. A number stands for every entry of every floating-point input.
        inputs: What the model is called with.

    Raises:
        InputError: The reference does not fit the inputs.
    """
    own = flatten_inputs(captured, inputs)
    if isinstance(reference, bool) or not isinstance(reference, _KINDS):
        raise InputError(
            "a reference is a tensor, a tuple or a mapping like the inputs, a number, or a"
            f" Background, not {type(reference).__name__}"
        )
    if isinstance(reference, (int, float)):
        return [_filled(leaf, float(reference)) for leaf in own]
    args, kwargs = as_call(_completed(captured, reference, inputs))
    try:
        leaves = captured.flatten_inputs(args, kwargs)
    except ValueError as error:
        raise InputError(f"the reference does not fit the inputs: {error}") from error
    names = [port.name for port in captured.inputs]
    fitted = [_fitted(*pair) for pair in zip(names, leaves, own, strict=True)]
    check_inputs(captured, fitted)
    return fitted


def _filled(leaf: Any, number: float) -> Any:
    if isinstance(leaf, Tensor) and leaf.dtype.is_floating_point:
        return torch.full_like(leaf, number)
    return leaf


def _completed(captured: Captured, reference: Any, inputs: Any) -> Any:
    """Return the reference with what it omits, as the inputs have it."""
    mappings = (Mapping, UserDict)
    if not isinstance(reference, mappings) or not isinstance(inputs, mappings):
        return reference
    unknown = [str(name) for name in reference if name not in inputs]
    if unknown:
        known = ", ".join(map(str, inputs))
        raise InputError(
            f"the reference names {', '.join(unknown)}, which the inputs do not have; choose from:"
            f" {known}"
        )
    return {**inputs, **reference}


def _fitted(name: str, leaf: Any, own: Any) -> Any:
    """Return one leaf of the reference with the shape of the input that it stands for."""
    if not isinstance(leaf, Tensor) or not isinstance(own, Tensor) or leaf.shape == own.shape:
        return leaf
    if leaf.dim() == own.dim() and leaf.shape[:1] == (1,) and leaf.shape[1:] == own.shape[1:]:
        return leaf.expand_as(own).contiguous()
    raise InputError(
        f"the reference for input {name!r} has shape {tuple(leaf.shape)}; the input's"
        f" {tuple(own.shape)} is needed, or {(1, *own.shape[1:])} for all samples. A set of"
        " baselines to average over is given as Background(...)"
    )


def batch_size(leaves: Sequence[Any]) -> int:
    """Return how many samples a call has; raise InputError if its inputs do not agree."""
    sizes = {leaf.shape[0] for leaf in leaves if isinstance(leaf, Tensor) and leaf.dim()}
    if len(sizes) != 1:
        raise InputError(
            f"the inputs have no common first axis (sizes {sorted(sizes)}): a Background needs one"
            " for the samples"
        )
    return sizes.pop()
