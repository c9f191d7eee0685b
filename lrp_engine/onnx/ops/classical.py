"""Classical machine learning (ai.onnx.ml), as far as it is differentiable.

Classifiers have a label and scores. The label is a choice and carries no relevance; scores do.
Labels that are strings become the index of the class.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..op_table import op
from ..unsupported import Refused
from ..values import (
    HostArray,
    OnnxValue,
    as_ints,
    as_tensor,
)

ML = "ai.onnx.ml"


def _real(x: Tensor) -> Tensor:
    """Convert integers and doubles: the models compute in single precision."""
    return x if x.dtype == torch.float32 else x.to(torch.float32)


def _post(z: Tensor, name: str) -> Tensor:
    """Apply the transform behind a linear model's scores."""
    match name:
        case "NONE":
            return z
        case "LOGISTIC":
            return torch.sigmoid(z)
        case "SOFTMAX":
            return torch.softmax(z, -1)
        case "SOFTMAX_ZERO":
            return torch.where(z == 0, 0.0, torch.softmax(z.masked_fill(z == 0, -torch.inf), -1))
        case "PROBIT":
            return 1.41421356 * torch.erfinv(2 * z - 1)
    raise Refused(f"post_transform {name!r} is not supported")


@op("LinearRegressor", domain=ML)
def linear_regressor(
    x: Tensor,
    *,
    coefficients: Sequence[float],
    intercepts: Sequence[float] = (),
    targets: int = 1,
    post_transform: str = "NONE",
) -> Tensor:
    """Map rows linearly to targets."""
    return _post(_scores(x, coefficients, intercepts, targets), post_transform)


def _scores(
    x: Tensor, coefficients: Sequence[float], intercepts: Sequence[float], rows: int
) -> Tensor:
    x = _real(x if x.dim() > 1 else x.unsqueeze(0))
    weight = torch.tensor(coefficients, dtype=torch.float32).reshape(rows, -1)
    bias = torch.tensor(intercepts, dtype=torch.float32) if intercepts else None
    return torch.nn.functional.linear(x, weight, bias)


@op("LinearClassifier", domain=ML)
def linear_classifier(
    x: Tensor,
    *,
    coefficients: Sequence[float],
    intercepts: Sequence[float] = (),
    classlabels_ints: Sequence[int] = (),
    classlabels_strings: Sequence[str] = (),
    multi_class: int = 0,
    post_transform: str = "NONE",
) -> list[Tensor]:
    """Return labels and scores. One row of coefficients may serve two classes."""
    labels = tuple(classlabels_ints) or tuple(range(len(classlabels_strings)))
    rows = len(intercepts) or len(labels)
    z = _scores(x, coefficients, intercepts, rows)
    if rows == 1 and len(labels) == 2:
        return _two_classes(z, labels, post_transform)
    values = torch.tensor(labels, dtype=torch.int64)
    return [values[z.argmax(-1)], _post(z, post_transform)]


def _two_classes(z: Tensor, labels: Sequence[int], post_transform: str) -> list[Tensor]:
    """Return both scores from the second, (1 - p, p): onnxruntime does that for raw scores, too."""
    p = z if post_transform.startswith("SOFTMAX") else _post(z, post_transform)
    chosen = p > 0.5 if post_transform in ("LOGISTIC", "PROBIT") else z > 0
    values = torch.tensor(labels, dtype=torch.int64)
    return [values[chosen[:, 0].long()], torch.cat([1 - p, p], -1)]


@op("Normalizer", domain=ML)
def normalizer(x: Tensor, *, norm: str = "MAX") -> Tensor:
    """Divide rows by their largest entry, their sum of magnitudes or their Euclidean norm."""
    x = _real(x)
    match norm:
        case "MAX":
            size = x.abs().amax(-1, keepdim=True)
        case "L1":
            size = x.abs().sum(-1, keepdim=True)
        case "L2":
            size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        case _:
            raise Refused(f"norm {norm!r} is not supported")
    return x / torch.where(size == 0, torch.ones_like(size), size)


@op("Scaler", domain=ML)
def scaler(
    x: Tensor, *, offset: Sequence[float] = (0.0,), scale: Sequence[float] = (1.0,)
) -> Tensor:
    """Shift and scale every column."""
    return (_real(x) - torch.tensor(offset)) * torch.tensor(scale)


@op("Imputer", domain=ML)
def imputer(
    x: Tensor,
    *,
    imputed_value_floats: Sequence[float] = (),
    replaced_value_float: float = 0.0,
    imputed_value_int64s: Sequence[int] = (),
    replaced_value_int64: int = 0,
) -> Tensor:
    """Replace missing entries by constants, one for all columns or one each."""
    if not x.is_floating_point():
        return torch.where(x == replaced_value_int64, torch.tensor(imputed_value_int64s), x)
    wanted = replaced_value_float
    missing = torch.isnan(x) if wanted != wanted else x == wanted
    return torch.where(missing, torch.tensor(imputed_value_floats, dtype=x.dtype), x)


@op("Binarizer", domain=ML)
def binarizer(x: Tensor, *, threshold: float = 0.0) -> Tensor:
    """Return 1 above the threshold, else 0: a step, which relevance does not pass."""
    return (x > threshold).to(x.dtype)


@op("FeatureVectorizer", domain=ML)
def feature_vectorizer(*xs: Tensor, inputdimensions: Sequence[int] = ()) -> Tensor:
    """Join the columns of all inputs as floats."""
    return torch.cat([_real(x if x.dim() > 1 else x.unsqueeze(-1)) for x in xs], -1)


@op("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(x: OnnxValue, y: OnnxValue) -> Tensor:
    """Choose entries of the last axis."""
    table = as_tensor(x)
    table = table if table.dim() > 1 else table.unsqueeze(0)
    if isinstance(y, HostArray):
        return table[..., list(as_ints(y))]
    return table[..., as_tensor(y).reshape(-1).long()]


@op("ZipMap", domain=ML)
def zip_map(
    x: Tensor,
    *,
    classlabels_int64s: Sequence[int] = (),
    classlabels_strings: Sequence[str] = (),
) -> Tensor:
    """Return the scores as they are: one column per class in place of one mapping per row."""
    return x
