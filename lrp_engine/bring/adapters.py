"""Say which file opens which kind of model; each is imported when such a model comes."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import CaptureError
from .data.files import refuse_url
from .hints import Hints
from .home import is_from
from .opened import OpenedModel

Open = Callable[[Any, Hints], OpenedModel]


class ModelAdapter(NamedTuple):
    """A kind of model: how it is told, and the module here whose `open_model` opens it."""

    test: Callable[[Any], bool]
    home: str

    def bring(self, model: Any, hints: Hints) -> OpenedModel:
        """Open a model of this kind."""
        module = importlib.import_module(f".models.{self.home}", __package__)
        found: OpenedModel = module.open_model(model, hints)
        return found


def _is_path(model: Any) -> bool:
    return isinstance(model, (str, os.PathLike))


def _ends(*endings: str) -> Callable[[Any], bool]:
    return lambda m: _is_path(m) and Path(m).suffix.lower() in endings


def _is_checkpoint(model: Any) -> bool:
    return _is_path(model) and (Path(model) / "config.json").is_file()


ADAPTERS = (
    ModelAdapter(_ends(".onnx"), "onnx_file"),
    ModelAdapter(lambda m: isinstance(m, (bytes, bytearray)), "onnx_file"),
    ModelAdapter(lambda m: is_from(m, "onnx.onnx_ml_pb2.ModelProto"), "onnx_file"),
    ModelAdapter(_ends(".pt2"), "exported_program"),
    ModelAdapter(_is_checkpoint, "checkpoint_folder"),
    ModelAdapter(lambda m: is_from(m, "transformers.pipelines"), "pipeline"),
    ModelAdapter(
        lambda m: is_from(m, "transformers.modeling_utils.PreTrainedModel"), "pretrained_model"
    ),
    ModelAdapter(lambda m: is_from(m, "sklearn.base.BaseEstimator"), "sklearn_estimator"),
    ModelAdapter(lambda m: not _is_path(m), "torch_module"),
)


def open_model(model: Any, hints: Hints) -> OpenedModel:
    """Open a model of any kind.

    Raises:
        CaptureError: it is no model, or one that cannot be looked into.
        InputError: a library that it needs is missing, or something has to be said beside it.
    """
    refuse_url(model)
    for adapter in ADAPTERS:
        if adapter.test(model):
            return adapter.bring(model, hints)
    raise CaptureError(_describe_path(Path(model)))


def _describe_path(path: Path) -> str:
    """Return why a path is no model."""
    if path.is_dir():
        return (
            f"{path} is a folder without config.json: a checkpoint of transformers, as"
            " save_pretrained writes it, has one"
        )
    if not path.exists():
        return (
            f"there is no file or folder {path}. Names of a hub are not looked up: nothing is"
            " downloaded; load the model first, or give its folder"
        )
    if path.suffix.lower() in (".pt", ".pth", ".bin", ".ckpt", ".safetensors"):
        return (
            f"{path} holds weights, or code that would have to be run to read it: build the model,"
            " call model.load_state_dict(...), and give the model; or write it by"
            " torch.export.save as .pt2"
        )
    return f"{path} is no model: .onnx and .pt2 files and checkpoint folders are"
