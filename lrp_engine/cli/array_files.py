"""Read the model's inputs from files of named arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import typer
from torch import Tensor

from ..boundary.arrays import read_npz, read_pt, read_safetensors
from ..errors import InputError
from .console import note
from .model_argument import LoadedModel

READERS = ("npz", "safetensors", "pt")
_NUMBERED = re.compile(r"(?:arg|arr|input)_?(\d+)")


def load_inputs(file: Path | None, loaded: LoadedModel) -> object:
    """Return the model's inputs: those in the file, or else the example that the model brings.

    Raises:
        InputError: the file cannot be read or does not fit the model's arguments.
        BadParameter: there is neither a file nor an example.
    """
    if file is not None:
        return _as_arguments(_read(file), loaded, file)
    if loaded.example is None:
        raise typer.BadParameter(
            f"this model brings no example inputs: name a file ({', '.join(READERS)}),"
            " or let the factory return (model, example_inputs)",
            param_hint="--inputs",
        )
    if loaded.is_noise:
        note("no --inputs: the model is called with noise of the shapes that the file declares")
    return loaded.example


def _read(file: Path) -> dict[str, Tensor]:
    readers: dict[str, Callable[[Path], dict[str, Tensor]]] = {
        ".npz": read_npz,
        ".safetensors": _safetensors,
        ".pt": read_pt,
    }
    if file.suffix not in readers:
        raise InputError(f"{file}: inputs are read from {', '.join(readers)} files")
    arrays = readers[file.suffix](file)
    if not arrays:
        raise InputError(f"{file} holds no array")
    return arrays


def _safetensors(file: Path) -> dict[str, Tensor]:
    return read_safetensors(file).tensors


def _as_arguments(arrays: Mapping[str, Tensor], loaded: LoadedModel, file: Path) -> object:
    """Pass named arrays by keyword, numbered ones by position.

    A single array of another name is refused as well: it may be the labels.
    """
    ready = {name: _convert(name, array, loaded) for name, array in arrays.items()}
    if set(ready) <= set(loaded.arguments):
        return ready
    numbered = {int(m[1]): a for name, a in ready.items() if (m := _NUMBERED.fullmatch(name))}
    if len(numbered) == len(ready) and set(numbered) == set(range(len(numbered))):
        return tuple(numbered[i] for i in range(len(numbered)))
    raise InputError(
        f"{file} holds {', '.join(arrays)}; the model's arguments are"
        f" {', '.join(loaded.arguments)}. Name the arrays like the arguments, or arg0, arg1, ..."
    )


def _convert(name: str, array: Tensor, loaded: LoadedModel) -> Tensor:
    """Move an array to the model's device, and NumPy's usual float64 to the model's dtype."""
    like = loaded.like()
    if array.dtype == torch.float64 and array.dtype != like.dtype:
        note(f"{name} is float64 and was converted to the model's {like.dtype}")
        return array.to(like)
    return array.to(like.device)
