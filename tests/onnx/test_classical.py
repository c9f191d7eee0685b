"""scikit-learn models exported with skl2onnx: scores as onnxruntime gives them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

from .compare import assert_same, by_module, by_onnxruntime, one_node

X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)
NAMES = np.array(["setosa", "versicolor", "virginica"])

CLASSIFIERS = {
    "mlp": (MLPClassifier((8, 4), max_iter=20, random_state=0), Y),
    "mlp_binary": (MLPClassifier((8,), max_iter=20, random_state=0), Y > 0),
    "mlp_names": (MLPClassifier((8,), max_iter=20, random_state=0), NAMES[Y]),
    "logistic": (LogisticRegression(max_iter=200), Y),
    "logistic_binary": (LogisticRegression(), (Y > 0).astype(int)),
    "logistic_names": (LogisticRegression(max_iter=200), NAMES[Y]),
    "pipeline": (make_pipeline(StandardScaler(), LogisticRegression()), Y),
    "normalised": (make_pipeline(Normalizer(), LogisticRegression()), Y),
    "pipeline_mlp": (
        make_pipeline(MinMaxScaler(), MLPClassifier((8,), max_iter=20, random_state=0)),
        Y,
    ),
}


def exported(model: Any, target: np.ndarray, folder: Path, **options: Any) -> Path:
    model.fit(X, target)
    made = to_onnx(model, X[:1], options={id(model): options} if options else None)
    onnx.save(made, folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("zipmap", [True, False])
def test_scores_of_classifiers(name: str, zipmap: bool, tmp_path: Path) -> None:
    """With ZipMap, the file gives one mapping per row; here it is the table of scores."""
    model, target = CLASSIFIERS[name]
    path = exported(model, target, tmp_path, zipmap=zipmap)
    inputs = {"X": X[::10]}
    label, scores = by_onnxruntime(path, inputs)
    if zipmap:
        scores = np.array([list(row.values()) for row in scores])
    *labels, got = by_module(path, inputs)
    np.testing.assert_allclose(got, scores, rtol=1e-5, atol=1e-6)
    if label.dtype.kind == "i" and "binary" not in name:
        np.testing.assert_array_equal(labels[0], label)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(),
        Ridge(),
        MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=0),
    ],
)
def test_regressors(model: Any, tmp_path: Path) -> None:
    path = exported(model, Y.astype(np.float32), tmp_path)
    (expected,), (got,) = by_onnxruntime(path, {"X": X}), by_module(path, {"X": X})
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


ML = {"domain": "ai.onnx.ml"}
MAX_NODES: list[tuple[str, dict[str, Any]]] = [
    ("Normalizer", {"norm": "MAX"}),
    ("Normalizer", {"norm": "L1"}),
    ("Normalizer", {"norm": "L2"}),
    ("Scaler", {"offset": [1.0, 2.0, 3.0, 4.0], "scale": [0.1, 0.2, 0.3, 0.4]}),
    ("Scaler", {"offset": [1.0], "scale": [0.5]}),
    ("Binarizer", {"threshold": 3.0}),
    ("Imputer", {"imputed_value_floats": [9.0], "replaced_value_float": float(X[0, 0])}),
    ("LinearRegressor", {"coefficients": [0.1] * 8, "intercepts": [1.0, 2.0], "targets": 2}),
]


@pytest.mark.parametrize("op, attributes", MAX_NODES)
def test_nodes(op: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    inputs = {"x": X[:5]}
    assert_same(one_node(op, inputs, {}, ["x"], **ML, **attributes), inputs, tmp_path)


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_linear_classifier(post: str, rows: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(rows)
    inputs = {"x": rng.standard_normal((6, 4)).astype(np.float32)}
    proto = one_node(
        "LinearClassifier",
        inputs,
        {},
        ["x"],
        outputs=2,
        output_types=[onnx.TensorProto.INT64],
        coefficients=rng.standard_normal(4 * rows).tolist(),
        intercepts=rng.standard_normal(rows).tolist(),
        classlabels_ints=list(range(max(rows, 2))),
        post_transform=post,
        **ML,
    )
    assert_same(proto, inputs, tmp_path)
