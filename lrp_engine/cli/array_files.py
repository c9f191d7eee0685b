"""Files of named arrays -> what the model is called with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
import typer
from safetensors import SafetensorError
from torch import Tensor

from ..errors import InputError
from .console import note
from .model_argument import Loaded

READERS = ("npz", "safetensors", "pt")
_NUMBERED = re.compile(r"(?:arg|arr|input)_?(\d+)")


def load_inputs(file: Path | None, loaded: Loaded) -> Any:
    """The model's inputs: from the file, or the example that came with the model.

    Raises InputError for files that cannot be read or do not fit the model's arguments.
    """
    if file is not None:
        return _call(_read(file), loaded, file)
    if loaded.example is None:
        raise typer.BadParameter(
            f"this model brings no example inputs: name a file ({', '.join(READERS)}),"
            " or let the factory return (model, example_inputs)",
            param_hint="--inputs",
        )
    if loaded.made_up:
        note("no --inputs: the model is called with noise of the shapes that the file declares")
    return loaded.example


def _read(file: Path) -> dict[str, Tensor]:
    readers = {".npz": _npz, ".safetensors": _safetensors, ".pt": _pt}
    if file.suffix not in readers:
        raise InputError(f"{file}: inputs are read from {', '.join(readers)} files")
    try:
        arrays = readers[file.suffix](file)
    except (OSError, ValueError, TypeError, RuntimeError, BadZipFile, SafetensorError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    except Exception as error:  # pickle's own errors, which share no base class
        raise InputError(f"{file} cannot be read: {type(error).__name__}: {error}") from error
    if not arrays:
        raise InputError(f"{file} holds no array")
    return arrays


def _npz(file: Path) -> dict[str, Tensor]:
    import numpy as np

    with np.load(file, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(file)


def _pt(file: Path) -> dict[str, Tensor]:
    held = torch.load(file, weights_only=True, map_location="cpu")
    if isinstance(held, Tensor):
        return {"arg0": held}
    if isinstance(held, (tuple, list)):
        held = {f"arg{i}": value for i, value in enumerate(held)}
    if not isinstance(held, Mapping) or not all(isinstance(v, Tensor) for v in held.values()):
        raise InputError(f"{file} must hold a tensor, a sequence of them, or named tensors")
    return dict(held)


def _call(arrays: Mapping[str, Tensor], loaded: Loaded, file: Path) -> Any:
    """Named arrays -> keyword arguments, numbered ones and a single one -> positional."""
    ready = {name: _fitted(name, array, loaded) for name, array in arrays.items()}
    if set(ready) <= set(loaded.arguments):
        return ready
    places = {int(m[1]): a for name, a in ready.items() if (m := _NUMBERED.fullmatch(name))}
    if len(places) == len(ready) and set(places) == set(range(len(places))):
        return tuple(places[i] for i in range(len(places)))
    if len(ready) == 1:
        return tuple(ready.values())
    raise InputError(
        f"{file} holds {', '.join(arrays)}; the model's arguments are"
        f" {', '.join(loaded.arguments)}. Name the arrays like the arguments, or arg0, arg1, ..."
    )


def _fitted(name: str, array: Tensor, loaded: Loaded) -> Tensor:
    """On the model's device; NumPy's usual float64 in the model's floating-point dtype."""
    like = loaded.like()
    if array.dtype == torch.float64 and array.dtype != like.dtype:
        note(f"{name} is float64 and was converted to the model's {like.dtype}")
        return array.to(like)
    return array.to(like.device)
