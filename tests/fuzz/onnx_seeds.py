"""Small sound ONNX files, from which damaged ones are made."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Place = tuple[str, int, Sequence[int | str]]


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def made(
    nodes: Sequence[NodeProto], inputs: Sequence[Place], weights: dict[str, np.ndarray]
) -> ModelProto:
    """A file whose output is `y`, of unknown shape."""
    graph = helper.make_graph(
        nodes,
        "seed",
        [helper.make_tensor_value_info(*place) for place in inputs],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


node = helper.make_node


def perceptron() -> ModelProto:
    nodes = [
        node("Gemm", ["x", "w", "b"], ["h"], transB=1),
        node("Relu", ["h"], ["r"]),
        node("MatMul", ["r", "v"], ["y"]),
    ]
    weights = {"w": array(5, 4), "b": array(5, seed=1), "v": array(5, 3, seed=2)}
    return made(nodes, [("x", FLOAT, ["n", 4])], weights)


def convolutional() -> ModelProto:
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "s", "b", "m", "q"], ["d"], epsilon=1e-3),
        node("LeakyRelu", ["d"], ["e"], alpha=0.1),
        node("MaxPool", ["e"], ["f"], kernel_shape=[2, 2], strides=[2, 2]),
        node("AveragePool", ["f"], ["g"], kernel_shape=[2, 2], count_include_pad=1),
        node("Flatten", ["g"], ["h"], axis=1),
        node("Gemm", ["h", "v"], ["y"], alpha=0.5),
    ]
    weights = {
        "w": array(2, 1, 3, 3), "b": array(2), "s": array(2, seed=1), "m": array(2, seed=2),
        "q": np.ones(2, np.float32), "v": array(2, 3, seed=3),
    }  # fmt: skip
    return made(nodes, [("x", FLOAT, ["n", 1, 4, 4])], weights)


def embedded() -> ModelProto:
    nodes = [
        node("Gather", ["table", "ids"], ["e"], axis=0),
        node("LayerNormalization", ["e", "s", "b"], ["l"], axis=-1),
        node("Transpose", ["l"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["l", "t"], ["a"]),
        node("Softmax", ["a"], ["p"], axis=-1),
        node("MatMul", ["p", "l"], ["o"]),
        node("ReduceMean", ["o", "axes"], ["y"], keepdims=0),
    ]
    weights = {"table": array(9, 4), "s": array(4), "b": array(4, seed=1), "axes": np.array([1])}
    return made(nodes, [("ids", INT64, ["n", 3])], weights)


def reshaped() -> ModelProto:
    nodes = [
        node("Slice", ["x", "starts", "ends", "places"], ["a"]),
        node("Pad", ["a", "pads"], ["b"], mode="constant"),
        node("Reshape", ["b", "shape"], ["c"]),
        node("Split", ["c"], ["d", "e"], axis=1, num_outputs=2),
        node("Concat", ["e", "d"], ["f"], axis=1),
        node("Resize", ["f3", "", "scales"], ["g"], mode="linear"),
        node("ReduceSum", ["g", "axis"], ["h"], keepdims=0),
        node("Clip", ["h", "low", "high"], ["i"]),
        node("Cast", ["i"], ["y"], to=FLOAT),
    ]
    nodes.insert(5, node("Unsqueeze", ["f", "axis"], ["f3"]))
    weights = {
        "starts": np.array([1]), "ends": np.array([5]), "places": np.array([1]),
        "pads": np.array([0, 1, 0, 1]), "shape": np.array([0, 6]), "axis": np.array([1]),
        "scales": np.array([1, 1, 2], np.float32), "low": np.float32(-2), "high": np.float32(2),
    }  # fmt: skip
    return made(nodes, [("x", FLOAT, ["n", 6])], weights)


def branched() -> ModelProto:
    def branch(op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info("z", FLOAT, None)
        return helper.make_graph([node(op, ["x"], ["z"])], op, [], [out])

    nodes = [
        node("If", ["flag"], ["a"], then_branch=branch("Tanh"), else_branch=branch("Sigmoid")),
        node("TopK", ["a", "k"], ["t", "i"], axis=1, largest=1),
        node("Where", ["mask", "t", "low"], ["w"]),
        node("QuantizeLinear", ["w", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    weights = {
        "flag": np.array(True), "k": np.array([2]), "mask": np.array([True, False]),
        "low": np.float32(0), "scale": np.float32(0.01), "zero": np.uint8(128),
    }  # fmt: skip
    return made(nodes, [("x", FLOAT, ["n", 4])], weights)


def recurrent() -> ModelProto:
    nodes = [
        node("LSTM", ["x", "w", "r", "b"], ["", "h", ""], hidden_size=2, direction="forward"),
        node("Squeeze", ["h", "axis"], ["s"]),
        node("InstanceNormalization", ["x", "one", "two"], ["n"]),
        node("ReduceMax", ["n", "last"], ["m"], keepdims=0),
        node("Einsum", ["m", "m"], ["g"], equation="ij,ij->j"),
        node("Add", ["s", "g"], ["y"]),
    ]
    weights = {
        "w": array(1, 8, 3), "r": array(1, 8, 2), "b": array(1, 16), "axis": np.array([0]),
        "one": array(2), "two": array(2, seed=1), "last": np.array([2]),
    }  # fmt: skip
    return made(nodes, [("x", FLOAT, [2, 2, 3])], weights)


SEEDS = (perceptron, convolutional, embedded, reshaped, branched, recurrent)
