"""Convert estimators of scikit-learn to ONNX, with one matrix of numbers as the input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...errors import CaptureError, InputError
from ..home import is_from, load_library

MATRIX = "input"  # the name of the one input


class Scores(NamedTuple):
    """A value inside of a graph that a last softmax or sigmoid reads."""

    name: str
    by_sigmoid: bool


@dataclass(frozen=True)
class Converted:
    """An estimator as ONNX.

    Args:
        proto: The `ModelProto`; its one input is (rows, features).
        raw: Whether its output is the decision function, before it becomes probabilities.
        scores: What a last softmax or sigmoid reads; None if there is none.
    """

    proto: Any
    raw: bool
    scores: Scores | None


def convert(estimator: Any, features: Sequence[str]) -> Converted:
    """Convert a fitted estimator or pipeline.

    Raises:
        CaptureError: skl2onnx cannot convert it.
        InputError: skl2onnx is missing, or columns are chosen by names that are unknown.
    """
    library = load_library("skl2onnx", "skl2onnx", "a model of scikit-learn")
    types = library.common.data_types
    by_name = any(_chooses_by_name(part) for part in _parts(estimator))
    if by_name and not features:
        raise InputError(
            "the pipeline chooses columns by name, and was fitted without names: give features=[..]"
        )
    if by_name:
        inputs = [(name, types.FloatTensorType([None, 1])) for name in features]
    else:
        inputs = [(MATRIX, types.FloatTensorType([None, int(estimator.n_features_in_)]))]
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    proto, raw = _convert(library, estimator, last, inputs)
    proto = _join_inputs(proto, features) if by_name else proto
    return Converted(proto, raw, None if raw else _find_scores(proto))


def _convert(library: Any, estimator: Any, last: Any, inputs: Any) -> tuple[Any, bool]:
    """Return the estimator as ONNX, and whether it gives raw scores; converters differ in options.

    Raises CaptureError if none of their ways works.
    """
    scores, plain = {"raw_scores": True}, {"zipmap": False}
    ways: list[dict[str, bool]] = [{**plain, **scores}, scores, plain, {}]
    faults: list[Exception] = []
    for options in ways if hasattr(last, "classes_") else [{}]:
        try:
            made = library.convert_sklearn(
                estimator, initial_types=inputs, options={id(last): options} if options else None
            )
            return made, "raw_scores" in options
        except Exception as fault:  # an option that a converter does not have is a NameError
            faults.append(fault)
    said = next(iter(str(faults[-1]).strip().splitlines()), "")
    raise CaptureError(f"skl2onnx cannot convert the {type(last).__name__}: {said}") from faults[-1]


def _parts(estimator: Any) -> Iterator[Any]:
    """Yield an estimator and, of a pipeline, its steps."""
    yield estimator
    for _, step in getattr(estimator, "steps", ()):
        yield from _parts(step)


def _chooses_by_name(part: Any) -> bool:
    if not is_from(part, "sklearn.compose"):
        return False
    chosen = [columns for _, _, columns in getattr(part, "transformers", ())]
    each = [c for columns in chosen for c in ([columns] if isinstance(columns, str) else columns)]
    return any(isinstance(column, str) for column in each)


def _join_inputs(proto: Any, names: Sequence[str]) -> Any:
    """Let one matrix stand for the inputs of a graph, one column for each."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    used = [port.name for port in proto.graph.input]
    kept = [name for name in names if name in used]
    if kept != list(names):
        lost = ", ".join(name for name in names if name not in used)
        raise CaptureError(f"the pipeline drops {lost}: give features= without them")
    sizes = numpy_helper.from_array(np.ones(len(names), dtype=np.int64), f"{MATRIX}/sizes")
    split = helper.make_node("Split", [MATRIX, sizes.name], list(names), f"{MATRIX}/split", axis=1)
    matrix = helper.make_tensor_value_info(MATRIX, TensorProto.FLOAT, [None, len(names)])
    del proto.graph.input[:]
    proto.graph.input.append(matrix)
    proto.graph.initializer.append(sizes)
    proto.graph.node.insert(0, split)
    return proto


def _find_scores(proto: Any) -> Scores | None:
    """Return the value that the last softmax or sigmoid reads, if nothing is computed behind it."""
    nodes = list(proto.graph.node)
    ends = [i for i, node in enumerate(nodes) if node.op_type in ("Softmax", "Sigmoid")]
    if not ends:
        return None
    last, later = nodes[ends[-1]], nodes[ends[-1] + 1 :]
    if any(node.op_type in ("MatMul", "Gemm", "Relu", "Tanh") for node in later):
        return None  # it is a hidden layer's
    return Scores(str(last.input[0]), last.op_type == "Sigmoid")
