"""Every op of ai.onnx is served, or refused with a reason of its own."""

from __future__ import annotations

import pytest
from onnx import TensorProto, defs, helper

from lrp_engine.onnx import Unsupported, load
from lrp_engine.onnx.op_table import load_op_table
from lrp_engine.onnx.refusals import reason_for

# Opset 24 is the newest that the documentation promises.
NEWEST = 24


def ops_at(opset: int) -> dict[str, defs.OpSchema]:
    """The schema of every op that an opset has."""
    found: dict[str, defs.OpSchema] = {}
    for schema in defs.get_all_schemas_with_history():
        known = found.get(schema.name)
        newer = known is None or schema.since_version > known.since_version
        if not schema.domain and schema.since_version <= opset and newer:
            found[schema.name] = schema
    return {name: schema for name, schema in found.items() if not schema.deprecated}


def test_every_op_is_served_or_refused_with_a_reason() -> None:
    table, without = load_op_table(), reason_for("", "no such op")
    for name, schema in ops_at(NEWEST).items():
        body = schema.has_function or schema.has_context_dependent_function
        entry = table.find("", name, NEWEST) or table.find("", name, NEWEST, on_host=True)
        assert entry or body or reason_for("", name) != without, name


def test_a_refusal_says_its_reason() -> None:
    node = helper.make_node("Unique", ["x"], ["y"])
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in "xy"]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)])
    with pytest.raises(Unsupported, match="how long its result is depends on the values"):
        load(model)
