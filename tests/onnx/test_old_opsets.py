"""What ops meant in older opsets, against onnxruntime: onnx's own tests show the newest only."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .compare import assert_same, one_node

RNG = np.random.default_rng(2)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture(autouse=True)
def drawn_alike_in_any_order() -> None:
    RNG.bit_generator.state = np.random.default_rng(2).bit_generator.state


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def f32(*values: float) -> np.ndarray:
    return np.array(values[0] if len(values) == 1 else values, np.float32)


X = real(2, 3, 4)
IMAGE = real(1, 2, 4, 6)
POSITIVE = np.abs(real(2, 3, 4)) + 0.5

# (op, opset, inputs, constants, attributes); the inputs and constants stand in order.
Case = tuple[str, int, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]]

FLATTENED: list[Case] = [  # before 13 the softmaxes run over all axes from `axis` on, 1 by default
    (op, opset, {"x": x}, {}, attributes)
    for op in ("Softmax", "LogSoftmax", "Hardmax")
    for opset in (7, 11, 13)
    for x, attributes in [
        (X, {}), (X, {"axis": 0}), (X, {"axis": 2}), (real(2, 3), {}), (X, {"axis": 1})
    ]
]  # fmt: skip

AXES_AS_ATTRIBUTE: list[Case] = [
    *[
        (op, opset, {"x": POSITIVE}, {}, attributes)
        for op in (
            "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1",
            "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare",
        )
        for opset in (7, 11)
        for attributes in [{"axes": [1]}, {"axes": [0, 2], "keepdims": 0}, {}]
    ],
    ("ReduceSum", 13, {"x": X}, {"a": ints(1)}, {}),
    ("ReduceMean", 13, {"x": X}, {}, {"axes": [-1]}),
    ("Squeeze", 7, {"x": real(1, 3, 1)}, {}, {"axes": [0]}),
    ("Squeeze", 11, {"x": real(1, 3, 1)}, {}, {"axes": [-1]}),
    ("Squeeze", 11, {"x": real(1, 3, 1)}, {}, {}),
    ("Squeeze", 13, {"x": real(1, 3, 1)}, {"a": ints(0)}, {}),
    ("Unsqueeze", 7, {"x": X}, {}, {"axes": [0, 3]}),
    ("Unsqueeze", 11, {"x": X}, {}, {"axes": [-1]}),
    ("Unsqueeze", 13, {"x": X}, {"a": ints(0, 4)}, {}),
    ("Slice", 7, {"x": X}, {}, {"starts": [0, 1], "ends": [1, 3], "axes": [0, 2]}),
    ("Slice", 9, {"x": X}, {}, {"starts": [1, -2], "ends": [2, 1000]}),
    ("Slice", 10, {"x": X}, {"s": ints(3), "e": ints(0), "a": ints(2), "t": ints(-2)}, {}),
    ("Slice", 13, {"x": X}, {"s": ints(-3, 0), "e": ints(-1, 2), "a": ints(-1, 1)}, {}),
    ("Split", 7, {"x": X}, {}, {"axis": 2, "split": [1, 3], "outputs": 2}),
    ("Split", 11, {"x": X}, {}, {"axis": 2, "outputs": 2}),
    ("Split", 13, {"x": X}, {"s": ints(3, 1)}, {"axis": 2, "outputs": 2}),
    ("Split", 18, {"x": X}, {}, {"axis": 1, "num_outputs": 2, "outputs": 2}),
]  # fmt: skip

BOUNDS_AS_ATTRIBUTE: list[Case] = [
    ("Clip", 7, {"x": X}, {}, {"min": -0.5, "max": 0.5}),
    ("Clip", 7, {"x": X}, {}, {"max": 0.5}),
    ("Clip", 10, {"x": X}, {}, {}),
    ("Clip", 11, {"x": X}, {"a": f32(-0.5), "b": f32(0.5)}, {}),
    ("Clip", 13, {"x": X}, {"": f32(0), "b": f32(0.5)}, {}),
    ("Pad", 7, {"x": IMAGE}, {}, {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "value": 0.5}),
    ("Pad", 10, {"x": IMAGE}, {}, {"pads": [0, 0, 1, 2, 0, 0, 1, 0], "mode": "reflect"}),
    ("Pad", 10, {"x": IMAGE}, {}, {"pads": [0, 0, 1, 2, 0, 0, 1, 0], "mode": "edge"}),
    ("Pad", 10, {"x": IMAGE}, {}, {"pads": [0, 0, -1, 2, 0, 0, 1, -2]}),
    ("Pad", 11, {"x": IMAGE}, {"p": ints(0, 0, 1, 2, 0, 0, 3, 0), "v": f32(0.5)}, {}),
    ("Pad", 18, {"x": IMAGE}, {"p": ints(1, 2), "v": f32(0.5), "a": ints(-1)}, {}),
    ("Dropout", 7, {"x": X}, {}, {"ratio": 0.4}),
    ("Dropout", 12, {"x": X}, {"r": f32(0.4)}, {}),
    ("TopK", 7, {"x": X}, {}, {"k": 2, "axis": 2, "outputs": 2, "second": "int64"}),
    ("TopK", 10, {"x": X}, {"k": ints(2)}, {"outputs": 2, "second": "int64"}),
    ("TopK", 11, {"x": X}, {"k": ints(2)}, {"largest": 0, "outputs": 2, "second": "int64"}),
]

RESIZING: list[Case] = [
    ("Upsample", 7, {"x": IMAGE}, {}, {"scales": [1.0, 1.0, 2.0, 3.0]}),
    ("Upsample", 9, {"x": IMAGE}, {"s": f32(1, 1, 2, 1.5)}, {}),
    ("Upsample", 9, {"x": IMAGE}, {"s": f32(1, 1, 2, 2)}, {"mode": "linear"}),
    ("Resize", 10, {"x": IMAGE}, {"s": f32(1, 1, 2, 3)}, {}),
    ("Resize", 10, {"x": IMAGE}, {"s": f32(1, 1, 0.5, 0.5)}, {}),
    ("Resize", 10, {"x": IMAGE}, {"s": f32(1, 1, 1.5, 2)}, {"mode": "linear"}),
    ("Resize", 11, {"x": IMAGE}, {"r": f32(0)[None][:0], "s": f32(1, 1, 2, 2)}, {}),
    (
        "Resize", 11, {"x": IMAGE}, {"r": f32(0)[None][:0], "s": f32(1, 1, 2, 2)},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    (
        "Resize", 11, {"x": IMAGE}, {"r": f32(0)[None][:0], "s": f32(1, 1, 2, 2)},
        {"mode": "cubic", "coordinate_transformation_mode": "half_pixel"},
    ),
    (
        "Resize", 13, {"x": IMAGE}, {"": f32(0), "_": f32(0), "n": ints(1, 2, 8, 9)},
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
         "nearest_mode": "floor"},
    ),
]  # fmt: skip

OTHERS: list[Case] = [
    ("BatchNormalization", 7, {"x": IMAGE},
     {"s": real(2), "b": real(2), "m": real(2), "v": f32(0.5, 2)}, {"epsilon": 1e-3}),
    ("BatchNormalization", 9, {"x": IMAGE},
     {"s": real(2), "b": real(2), "m": real(2), "v": f32(0.5, 2)}, {}),
    ("Gemm", 7, {"x": real(3, 4)}, {"b": real(4, 5), "c": real(3, 1)}, {"alpha": 0.5, "beta": 2.0}),
    ("Gemm", 11, {"x": real(3, 4)}, {"b": real(5, 4)}, {"transB": 1}),
    ("AveragePool", 7, {"x": IMAGE}, {},
     {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", 10, {"x": IMAGE}, {}, {"kernel_shape": [3, 3], "strides": [2, 2],
                                           "ceil_mode": 1}),
    ("MaxPool", 8, {"x": IMAGE}, {}, {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("MaxPool", 10, {"x": IMAGE}, {}, {"kernel_shape": [2, 2], "dilations": [1, 2]}),
    ("GlobalAveragePool", 7, {"x": IMAGE}, {}, {}),
    ("Flatten", 7, {"x": X}, {}, {"axis": 2}),
    ("Flatten", 9, {"x": X}, {}, {"axis": 0}),
    ("Flatten", 11, {"x": X}, {}, {"axis": -1}),
    ("Gather", 7, {"x": X}, {"i": ints(1, 0)}, {"axis": 1}),
    ("Gather", 11, {"x": X}, {"i": ints(-1, 0)}, {"axis": 2}),
    ("Expand", 8, {"x": real(3, 1)}, {"n": ints(2, 1, 4)}, {}),
    ("Tile", 7, {"x": X}, {"n": ints(1, 2, 1)}, {}),
    ("PRelu", 7, {"x": IMAGE}, {"s": real(2, 1, 1)}, {}),
    ("PRelu", 9, {"x": IMAGE}, {"s": real(1)}, {}),
    ("Where", 9, {"c": X > 0, "x": X, "y": real(2, 3, 1)}, {}, {}),
    ("Mod", 10, {"x": X, "y": POSITIVE}, {}, {"fmod": 1}),
    ("Sum", 8, {"x": X}, {"y": real(3, 1), "z": real(4)}, {}),
    ("Max", 8, {"x": X}, {"y": real(4)}, {}),
    ("Mean", 8, {"x": X}, {"y": real(4)}, {}),
    ("Pow", 7, {"x": POSITIVE}, {"p": f32(1.5)}, {}),
    ("ConvTranspose", 7, {"x": IMAGE}, {"w": real(2, 3, 3, 3)},
     {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    ("ConvTranspose", 11, {"x": IMAGE}, {"w": real(2, 3, 3, 3)},
     {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("Conv", 7, {"x": IMAGE}, {"w": real(4, 1, 3, 3), "b": real(4)},
     {"group": 2, "dilations": [2, 2], "pads": [2, 1, 2, 3]}),
    ("Conv", 11, {"x": IMAGE}, {"w": real(4, 2, 3, 3)}, {"auto_pad": "SAME_LOWER",
                                                         "strides": [2, 2]}),
    ("InstanceNormalization", 7, {"x": IMAGE}, {"s": real(2), "b": real(2)}, {}),
    ("LRN", 7, {"x": real(1, 6, 3, 3)}, {}, {"size": 3, "alpha": 0.1, "beta": 0.5, "bias": 1.5}),
    ("LpNormalization", 7, {"x": X}, {}, {"axis": 1, "p": 2}),
    ("Selu", 7, {"x": X}, {}, {}),
    ("HardSigmoid", 7, {"x": X}, {}, {"alpha": 0.3}),
    ("CumSum", 11, {"x": X}, {"a": np.array(1, np.int64)}, {"exclusive": 1, "reverse": 1}),
    ("DepthToSpace", 7, {"x": real(1, 8, 2, 3)}, {}, {"blocksize": 2}),
    ("DepthToSpace", 11, {"x": real(1, 8, 2, 3)}, {}, {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", 7, {"x": IMAGE}, {}, {"blocksize": 2}),
]  # fmt: skip

CASES = [*FLATTENED, *AXES_AS_ATTRIBUTE, *BOUNDS_AS_ATTRIBUTE, *RESIZING, *OTHERS]


def label(case: Case) -> str:
    settings = ",".join(f"{k}={v}" for k, v in case[4].items())
    return f"{case[0]}-{case[1]} {settings} {' '.join(case[3])}".strip()


@pytest.mark.parametrize("case", CASES, ids=map(label, CASES))
def test_old_meaning(case: Case, tmp_path: Path) -> None:
    op, opset, inputs, constants, attributes = case
    settings = dict(attributes)
    second = settings.pop("second", "float32")
    outputs = settings.pop("outputs", 1)
    order = [name if name not in ("", "_") else "" for name in (*inputs, *constants)]
    weights = {name: array for name, array in constants.items() if name not in ("", "_")}
    proto = one_node(op, inputs, weights, order, outputs=outputs, opset=opset, **settings)
    if second == "int64":
        proto.graph.output[1].type.tensor_type.elem_type = 7
    proto.ir_version = 4
    assert_same(proto, inputs, tmp_path)
