"""Load what MODEL names on the command line, with example inputs if it brings its own."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import typer
from torch import nn
from torch.export import ExportedProgram

from .. import onnx
from ..boundary.exported_program import read_exported
from ..boundary.user_code import calling, user_place
from ..capture.signature import argument_names
from ..capture.silence import silence_export
from ..errors import CaptureError, InputError
from .choices import MODEL_FORMS

_MISSING = object()


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


def load_model(text: str, settings: Mapping[str, object] | None = None) -> LoadedModel:
    """Load the model that a text names; `settings` bind inputs of an ONNX file to constants.

    Raises BadParameter if there is no such model, or settings are given for another kind of model.
    """
    if text.endswith(".onnx"):
        return _onnx(Path(text), settings)
    if settings:
        raise typer.BadParameter(
            f"{', '.join(settings)}: only inputs of ONNX files can be bound", param_hint="--set"
        )
    if text.endswith(".pt2"):
        return _program(Path(text))
    module, colon, attribute = text.partition(":")
    if not (module and colon and attribute):
        raise typer.BadParameter(f"{text!r} is none of these: {MODEL_FORMS}", param_hint="MODEL")
    return _from_object(_attribute(module, attribute), text)


def _onnx(path: Path, settings: Mapping[str, object] | None) -> LoadedModel:
    if not path.is_file():
        raise typer.BadParameter(f"there is no file {path}", param_hint="MODEL")
    module = onnx.load(path, settings)
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
    with silence_export():  # of a damaged file torch logs where it failed
        program = read_exported(path)
    return LoadedModel(program, tuple(program.graph_signature.user_inputs), program.example_inputs)


def _attribute(module: str, attribute: str) -> Any:
    """Import `module` as `python -m` would, with the current folder on the path."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    found: Any = _module(module)
    with calling(f"{module}:{attribute}"):
        for name in attribute.split("."):
            found = getattr(found, name, _MISSING)
    if found is _MISSING:
        raise typer.BadParameter(f"{module!r} has no {attribute!r}", param_hint="MODEL")
    return found


def _module(name: str) -> ModuleType:
    """Import a module. Raises BadParameter if there is none, UserCodeError if it fails."""
    with calling(f"importing {name}"):
        try:
            return importlib.import_module(name)
        except (ModuleNotFoundError, ValueError, TypeError) as error:
            if isinstance(error, ModuleNotFoundError) and not _is_part(error.name, name):
                raise  # the user's own module lacks another one
            if user_place(error) is not None:
                raise
            missing = error
    raise typer.BadParameter(f"there is no module {name!r}", param_hint="MODEL") from missing


def _is_part(missing: str | None, name: str) -> bool:
    """Return whether a missing module is the one that was named, or a package that it lies in."""
    return missing is not None and f"{name}.".startswith(f"{missing}.")


def _from_object(found: object, text: str) -> LoadedModel:
    """Accept a module, or a factory that returns one, alone or with example inputs."""
    if callable(found) and not isinstance(found, nn.Module):
        with calling(text):
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
