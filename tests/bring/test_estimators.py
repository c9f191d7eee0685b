"""Estimators of scikit-learn are explained on tables, with the names of columns and classes."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrp_engine as lrp
from lrp_engine.errors import CaptureError, InputError, TargetError

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")
pandas = pytest.importorskip("pandas")

from sklearn.compose import ColumnTransformer  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402


@cache
def table() -> Any:
    numbers = np.random.default_rng(0).normal(size=(60, 3))
    return pandas.DataFrame(numbers, columns=["age", "height", "mass"])


def answers(*names: str | int) -> Any:
    numbers = table().to_numpy() @ np.array([[1.0, -1, 0.3], [0, 1, 1], [1, 0, -2]])
    return np.array(names)[numbers[:, : len(names)].argmax(1)]


def linear(*names: str | int) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(table(), answers(*names))


def test_a_pipeline_is_explained_by_the_names_of_its_columns_and_classes() -> None:
    model = linear("left", "right")
    rows = table()[["mass", "age", "height"]].iloc[:4]  # in another order
    found = lrp.explain(model, rows, "right", preset="gradient")
    expected = model.decision_function(table().iloc[:4])
    np.testing.assert_allclose(found.explained.numpy(), expected, rtol=1e-4, atol=1e-5)
    labels = found.labels.of("input")
    assert labels.feature_names == ("age", "height", "mass")
    assert labels.feature_values[0][0] == f"{table().age[0]:.4g}"
    assert found.labels.class_names == ("left", "right")
    slopes = model[-1].coef_[0] / model[0].scale_
    np.testing.assert_allclose(found.coefficient["input"][0].numpy(), slopes, rtol=1e-4)


def test_several_classes_are_explained_by_their_scores() -> None:
    model = linear("a", "b", "c")
    found = lrp.explain(model, table().iloc[:5], [{"a": 1, "b": -1}, "predicted", "c", 0, "b"])
    scores = model.decision_function(table().iloc[:5])
    expected = [scores[0, 0] - scores[0, 1], scores[1].max(), scores[2, 2], scores[3, 0],
                scores[4, 1]]  # fmt: skip
    np.testing.assert_allclose(found.explained.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("classes", [(0, 1), (False, True), (2, -1, 3)])
def test_classes_may_be_numbers(classes: tuple[int, ...]) -> None:
    """The converted model then gives labels in numbers before its scores."""
    model = linear(*classes)
    found = lrp.explain(model, table().iloc[:4], "predicted")
    scores = model.decision_function(table().iloc[:4])
    expected = np.abs(scores) if scores.ndim == 1 else scores.max(1)
    np.testing.assert_allclose(found.explained.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert found.labels.class_names == tuple(map(str, sorted(classes)))


@pytest.mark.parametrize("target", ["predicted", "left", {"right": 1, "left": -1}])
def test_one_score_serves_two_classes(target: Any) -> None:
    net = MLPClassifier((5,), max_iter=20, random_state=0).fit(table(), answers("left", "right"))
    rows = table().iloc[:6]
    found = lrp.explain(net, rows, target)
    p = net.predict_proba(rows)[:, 1]
    score = np.log(p / (1 - p))
    expected = {"predicted": np.abs(score), "left": -score}.get(str(target), 2 * score)
    np.testing.assert_allclose(found.explained.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_columns_that_are_chosen_by_name_stay_one_table() -> None:
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), ["mass", "age"]), ("kept", "passthrough", ["height"])]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table(), answers("left", "right"))
    found = lrp.explain(model, table().iloc[:3], "right")
    expected = model.decision_function(table().iloc[:3])
    np.testing.assert_allclose(found.explained.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert found.relevance["input"].shape == (3, 3)


def test_rows_come_from_files_dicts_and_lists(tmp_path: Path) -> None:
    subject, row = lrp.Subject(linear("left", "right")), table().iloc[0]
    file = tmp_path / "rows.csv"
    table().iloc[:1].to_csv(file, index=False)
    expected = subject.read(table().iloc[:1]).inputs[0]
    for data in (file, str(file), dict(row), [dict(row)], row, [list(row)], row.to_numpy()):
        assert np.allclose(subject.read(data).inputs[0], expected)


def test_what_cannot_be_explained_is_told_in_one_line() -> None:
    with pytest.raises(CaptureError, match="LogisticRegression is not fitted"):
        lrp.Subject(LogisticRegression())
    forest = RandomForestClassifier(2).fit(table(), answers("left", "right"))
    with pytest.raises(lrp.LrpError, match="trees are step functions"):
        lrp.Subject(forest)
    subject = lrp.Subject(linear("left", "right"))
    for data, message in [
        ({"age": 1, "heigth": 2, "mass": 3}, "no 'height'; did you mean 'heigth'"),
        ({"age": "old", "height": 2, "mass": 3}, "'age' holds 'old', which is no number"),
        ([[1.0, 2.0]], "2 values, the model takes 3"),
        (table().iloc[:0], "no rows"),
    ]:
        with pytest.raises(InputError, match=message):
            subject.read(data)
    with pytest.raises(TargetError, match="did you mean 'right'"):
        subject.explain(table().iloc[:1], "rihgt")
