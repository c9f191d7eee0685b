"""Bind inputs of a file that are settings, such as a sampling rate, to constants."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..errors import InputError
from .ports import OnnxInput


def bind_inputs(ports: Sequence[OnnxInput], settings: Mapping[str, object]) -> dict[str, Tensor]:
    """Return the constants that settings become, by input name.

    A number fills an input of whatever shape it is declared to have (free axes have size 1).

    Raises:
        InputError: for a name that is no input, what is no number, and a shape that does not fit.
    """
    by_name = {port.name: port for port in ports}
    for name in settings:
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            hint = hint or f": its inputs are {', '.join(by_name)}"
            raise InputError(f"{name!r} is no input of the file{hint}")
    return {name: _constant(by_name[name], value) for name, value in settings.items()}


def _constant(port: OnnxInput, value: object) -> Tensor:
    try:
        given = torch.as_tensor(value)
        tensor = given.to(port.dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"input {port.name!r} cannot be bound to {value!r}: give numbers"
        ) from error
    if not torch.equal(tensor.to(torch.float64), given.to(torch.float64)):
        raise InputError(f"input {port.name!r} is {port.dtype}, which does not hold {value!r}")
    if port.sizes is None:
        return tensor
    shape = [size if isinstance(size, int) else 1 for size in port.sizes]
    if tensor.dim() == 0:
        return tensor.expand(shape).contiguous()
    fits = len(shape) == tensor.dim() and all(
        isinstance(size, str) or size == have
        for size, have in zip(port.sizes, tensor.shape, strict=True)
    )
    if not fits:
        raise InputError(
            f"input {port.name!r} is declared as {port.shape_text}, and was bound to numbers of"
            f" shape {tuple(tensor.shape)}"
        )
    return tensor
