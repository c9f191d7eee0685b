"""Open estimators and pipelines of scikit-learn, through ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ... import onnx
from ...boundary.user_code import calling
from ...errors import CaptureError, InputError, TargetError
from ...run.class_weights import PREDICTED, mentions_predicted
from ...run.target import is_class
from ..batch import Batch
from ..class_names import class_names
from ..hints import Hints
from ..home import load_library
from ..opened import Asked, OpenedModel
from ..readers.table_reader import TableReader
from .hf_texts import always
from .sklearn_to_onnx import Scores, convert

_CLOSE = 1e-3  # ONNX's operators compute in single precision, scikit-learn in double


def open_model(model: Any, hints: Hints) -> OpenedModel:
    """Open a fitted estimator or pipeline.

    Raises:
        CaptureError: It is not fitted, or cannot be converted.
        InputError: skl2onnx is missing.
        Unsupported: It has a part that relevance cannot pass, such as trees.
    """
    features = _features(model, hints)
    converted = convert(model, features)
    module = onnx.load(converted.proto)
    names = class_names(hints.classes or _classes(model))
    return OpenedModel(
        module,
        always(TableReader(torch.float32, features)),
        names,
        output=None if converted.scores is None else converted.scores.name,
        unit="score" if names.classes and (converted.raw or converted.scores) else "",
        example=np.zeros((1, model.n_features_in_)),
        takes=("classes", "features") if _classes(model) else ("features",),
        ask=AskEstimator(model, module, features, converted.raw, converted.scores),
    )


@dataclass(frozen=True)
class AskEstimator:
    """Compares the converted estimator with the original, and lets one column serve two.

    Args:
        estimator: The original.
        module: What it was converted to.
        features: The names of its columns, where it knows them.
        raw: Whether the module gives the decision function.
        scores: The value inside that is explained; None: the output.
    """

    estimator: Any
    module: nn.Module
    features: tuple[str, ...]
    raw: bool
    scores: Scores | None

    def __call__(self, batch: Batch, target: Any) -> Asked:
        """Return batch and target in the terms of the module's output.

        Raises CaptureError if the module computes something else than the estimator.
        """
        if not isinstance(batch.inputs, tuple):
            return Asked(batch, target)
        (rows,) = batch.inputs
        table = self._table(rows)
        width = self._compare(rows, table)
        if target is None or not is_class(target) or not hasattr(self.estimator, "classes_"):
            return Asked(batch, target)
        if mentions_predicted(target):
            order = {str(c): i for i, c in enumerate(self.estimator.classes_)}
            found = [order[str(c)] for c in self.estimator.predict(table)]
            target = _replace_predicted(target, found)
        one = (self.scores is not None and self.scores.by_sigmoid) or width == 1
        two = len(self.estimator.classes_) == 2
        return Asked(batch, _on_one_column(target, len(rows)) if one and two else target)

    def _table(self, rows: Tensor) -> Any:
        """Return rows as the estimator takes them: with names if it was fitted with names."""
        numbers = rows.double().cpu().numpy()
        if not hasattr(self.estimator, "feature_names_in_"):
            return numbers
        pandas = load_library("pandas", "pandas", "an estimator that was fitted with names")
        return pandas.DataFrame(numbers, columns=list(self.features))

    def _compare(self, rows: Tensor, table: Any) -> int:
        """Require that both compute the same numbers; return how many columns are explained."""
        with torch.no_grad():
            outputs = self.module(rows)
        # Labels that are whole numbers are an output, too, and come first.
        found = next(o for o in outputs.values() if o.is_floating_point()).double().numpy()
        name = self._method()
        with calling(f"the estimator's {name}"):
            wanted = np.asarray(getattr(self.estimator, name)(table), dtype=np.float64)
        wide = found.reshape(len(found), -1)
        mine = wide[:, -1] if wanted.ndim == 1 else wide
        error = float(np.abs(mine - wanted.reshape(mine.shape)).max())
        if not error <= _CLOSE * max(1.0, float(np.abs(wanted).max())):
            raise CaptureError(
                f"the {type(self.estimator).__name__} was converted to something else: its {name}"
                f" differs by {error:.1e}, so that another model would be explained"
            )
        return int(wide.shape[1])

    def _method(self) -> str:
        if self.raw:
            return "decision_function"
        return "predict_proba" if hasattr(self.estimator, "predict_proba") else "predict"


def _on_one_column(target: Any, samples: int) -> Any:
    """Return a target of two classes as one of the second's score: the first has its opposite."""
    if isinstance(target, Mapping):
        weight = float(target.get(1, 0)) - float(target.get(0, 0))
        if set(target) - {0, 1}:
            raise TargetError(f"there are two classes, and {dict(target)} names another")
        return {0: weight}
    if isinstance(target, int):
        return _on_one_column({target: 1.0}, samples)
    return [_on_one_column(each, samples) for each in target]


def _replace_predicted(target: Any, predicted: list[int]) -> Any:
    """Return a target per sample with the estimator's own prediction for "predicted"."""
    per_sample = target if isinstance(target, list) else [target] * len(predicted)
    if len(per_sample) != len(predicted):
        raise TargetError(f"one class per sample is needed: {len(predicted)}")
    return [_put(each, number) for each, number in zip(per_sample, predicted, strict=True)]


def _put(target: Any, number: int) -> Any:
    if not isinstance(target, Mapping):
        return number if target == PREDICTED else target
    found: dict[Any, float] = {}
    for key, weight in target.items():
        at = number if key == PREDICTED else key
        found[at] = found.get(at, 0.0) + weight
    return found


def _features(model: Any, hints: Hints) -> tuple[str, ...]:
    """Return the names of the columns. Raises CaptureError for an estimator without a fit."""
    if not hasattr(model, "n_features_in_"):
        raise CaptureError(f"the {type(model).__name__} is not fitted: call fit() first")
    given = hints.features if hints.features is not None else ()
    found = tuple(map(str, given or getattr(model, "feature_names_in_", ())))
    if found and len(found) != model.n_features_in_:
        raise InputError(f"{len(found)} features are named, the model has {model.n_features_in_}")
    return found


def _classes(model: Any) -> list[str]:
    return [str(name) for name in getattr(model, "classes_", ())]
