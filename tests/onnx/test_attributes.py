"""Nodes that ask for what their op does not take are refused in one line with name and op."""

import typing
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from lrp_engine.errors import LrpError
from lrp_engine.onnx import node_checks
from lrp_engine.onnx.attribute_ranges import range_of
from lrp_engine.onnx.file import from_proto
from lrp_engine.onnx.import_graph import import_graph
from lrp_engine.onnx.onnx_module import OnnxModule
from lrp_engine.onnx.op_table import load_op_table
from lrp_engine.onnx.values import Ints


def module(op: str, inputs: list[str], kind: int = TensorProto.FLOAT, **attributes: Any) -> Any:
    node = helper.make_node(op, inputs, ["y"], name="it", **attributes)
    x = helper.make_tensor_value_info("x", kind, [2, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [x], [y])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return OnnxModule(import_graph(from_proto(proto)))


@pytest.mark.parametrize(
    "op, attributes, words",
    [
        ("AveragePool", {"kernel_shape": [1 << 31, 1]}, "kernel_shape"),
        ("AveragePool", {"kernel_shape": [9, 9]}, "larger than"),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [0, 1]}, "strides"),
        ("MaxPool", {"kernel_shape": [2, 2], "pads": [-1, 0, 0, 0]}, "pads"),
        ("MaxPool", {"kernel_shape": [2, 2, 2]}, "axes"),
        ("ReduceMean", {"keepdims": 2}, "keepdims"),
        ("ArgMax", {"axis": 4}, "axis"),
        ("Softmax", {"axis": 0.5}, "type FLOAT"),
        ("MatMul", {}, "1 inputs"),
    ],
)
def test_what_is_out_of_range_is_refused(op: str, attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(LrpError, match=f"{op} .*'it'.*{words}"):
        module(op, ["x"], **attributes).capture()


@pytest.mark.parametrize("kind", [TensorProto.STRING, TensorProto.INT4])
def test_inputs_that_torch_has_no_type_for(kind: int) -> None:
    with pytest.raises(LrpError, match=r"input 'x'.*not supported"):
        module("Identity", ["x"], kind)


def test_every_whole_number_of_the_op_table_has_a_declared_range() -> None:
    lacking = set()
    for entries in load_op_table().entries.values():
        for entry in entries:
            hints = typing.get_type_hints(entry.function)
            for name in entry.attributes:
                kinds = {hints[name], *typing.get_args(hints[name])}
                if kinds & {int, Ints} and range_of(entry.name, name) is None:
                    lacking.add((entry.name, name))
    assert not lacking
    assert onnx.defs.onnx_opset_version()


# --- with the checks switched off, the fault shows -----------------------------------------------


@pytest.mark.parametrize(
    "op, attributes",
    [
        ("MaxPool", {"kernel_shape": [2, 2], "pads": [-1, 0, 0, 0]}),
        ("ReduceMean", {"keepdims": 2}),
        ("Softmax", {"axis": -5}),
        ("Flatten", {"axis": 9}),
    ],
)
def test_without_ranges_a_wrong_number_is_taken(
    op: str, attributes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LrpError, match="which is not from"):
        module(op, ["x"], **attributes).capture()
    monkeypatch.setattr(node_checks, "range_of", lambda *_: None)
    assert module(op, ["x"], **attributes).capture().outputs


@pytest.mark.parametrize(
    "op, attributes, raw", [("MatMul", {}, "IndexError"), ("Softmax", {"axis": 0.5}, "TypeError")]
)
def test_without_schemas_the_cause_is_pythons(
    op: str, attributes: dict[str, Any], raw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_checks, "find_schema", lambda *_: None)
    with pytest.raises(LrpError, match=raw):
        module(op, ["x"], **attributes).capture()
