"""Load what MODEL names on the command line, with example inputs if it brings its own."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import typer
from torch import nn
from torch.export import ExportedProgram

from .. import onnx
from ..capture.signature import argument_names
from ..capture.silence import silence_export
from ..errors import CaptureError, InputError
from .choices import MODEL_FORMS


@dataclass(frozen=True)
class LoadedModel:
    """A model, the names of its arguments in order, and its own example inputs (or None).

    `is_noise` says that the example has the right shapes and random values.
    """

    model: nn.Module | ExportedProgram
    arguments: tuple[str, ...]
    example: object = None
    is_noise: bool = False

    def like(self) -> torch.Tensor:
        """Return a tensor with the floating-point dtype and the device that inputs should have."""
        held = self.model.state_dict
        tensors = held() if callable(held) else held
        return next((t for t in tensors.values() if t.is_floating_point()), torch.empty(0))


def load_model(text: str) -> LoadedModel:
    """Load the model that a text names. Raises BadParameter if there is no such model."""
    if text.endswith(".onnx"):
        return _onnx(Path(text))
    if text.endswith(".pt2"):
        return _program(Path(text))
    module, colon, attribute = text.partition(":")
    if not (module and colon and attribute):
        raise typer.BadParameter(f"{text!r} is none of these: {MODEL_FORMS}", param_hint="MODEL")
    return _from_object(_attribute(module, attribute), text)


def _onnx(path: Path) -> LoadedModel:
    if not path.is_file():
        raise typer.BadParameter(f"there is no file {path}", param_hint="MODEL")
    module = onnx.load(path)
    names = tuple(port.name for port in module.ports)
    try:
        return LoadedModel(module, names, module.example(), is_noise=True)
    except InputError:  # the file does not say what the inputs look like
        return LoadedModel(module, names)


def named_object(text: str) -> Any:
    """Return what `module:attribute` names. Raises BadParameter if there is no such attribute."""
    module, colon, attribute = text.partition(":")
    if not (module and colon and attribute):
        raise typer.BadParameter(f"{text!r} is not of the form module:attribute")
    return _attribute(module, attribute)


def _program(path: Path) -> LoadedModel:
    if not path.is_file():
        raise typer.BadParameter(f"there is no file {path}", param_hint="MODEL")
    try:
        with silence_export():  # of a damaged file torch logs where it failed
            program = torch.export.load(path)
    except Exception as error:  # torch raises many kinds for a file that it cannot read
        raise CaptureError(
            f"{path} cannot be loaded as an exported program: {error}. Write it with"
            " torch.export.save(torch.export.export(model, inputs), path)."
        ) from error
    return LoadedModel(program, tuple(program.graph_signature.user_inputs), program.example_inputs)


def _attribute(module: str, attribute: str) -> Any:
    """Import `module` as `python -m` would, with the current folder on the path."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the user's own module lacks something: its traceback says more
        raise typer.BadParameter(f"there is no module {module!r}", param_hint="MODEL") from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise typer.BadParameter(f"{module!r} has no {attribute!r}", param_hint="MODEL")
        found = getattr(found, name)
    return found


def _from_object(found: object, text: str) -> LoadedModel:
    """Accept a module, or a factory that returns one, alone or with example inputs."""
    if callable(found) and not isinstance(found, nn.Module):
        found = found()
    model, example = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not isinstance(model, nn.Module):
        raise CaptureError(
            f"{text} gives a {type(model).__name__}, not a torch.nn.Module."
            " A factory returns a module, or (module, example_inputs)."
        )
    return LoadedModel(model.eval(), (*argument_names(model), *_keyword_only(model)), example)


def _keyword_only(model: nn.Module) -> Iterator[str]:
    for parameter in inspect.signature(model.forward).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            yield parameter.name
