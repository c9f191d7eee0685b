"""Damage to ONNX files: to graphs, attributes, types, shapes and weights, and to bytes."""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper

from tests.fuzz.onnx_seeds import SEEDS

Draw = st.DrawFn
NUMBERS = (0, 1, -1, 2, 3, 7, -7, 64, 255, 2**16, 2**31 - 1, 2**31, -(2**31), 2**62, -(2**63))
FLOATS = (0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"))
TEXTS = (
    "",
    "constant",
    "linear",
    "reflect",
    "NOTSET",
    "SAME_UPPER",
    "ij,jk",
    "\0",
    "../w",
    "é" * 99,
)
TYPES = tuple(sorted(TensorProto.DataType.values()))


def names(model: ModelProto) -> list[str]:
    """Every value that the file speaks of, and some that it does not."""
    graph = model.graph
    used = {n for node in graph.node for n in (*node.input, *node.output)}
    return sorted({"", "ghost", "y", *used, *(w.name for w in graph.initializer)})


def some_node(draw: Draw, model: ModelProto) -> NodeProto:
    return draw(st.sampled_from(list(model.graph.node)))


def change_input(draw: Draw, model: ModelProto) -> None:
    node = some_node(draw, model)
    if node.input:
        node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from(names(model)))


def drop_input(draw: Draw, model: ModelProto) -> None:
    node = some_node(draw, model)
    if node.input:
        del node.input[draw(st.integers(0, len(node.input) - 1))]


def add_input(draw: Draw, model: ModelProto) -> None:
    some_node(draw, model).input.append(draw(st.sampled_from(names(model))))


def rename_output(draw: Draw, model: ModelProto) -> None:
    node = some_node(draw, model)
    if node.output:
        node.output[0] = draw(st.sampled_from(names(model)))


def drop_node(draw: Draw, model: ModelProto) -> None:
    del model.graph.node[draw(st.integers(0, len(model.graph.node) - 1))]


def repeat_node(draw: Draw, model: ModelProto) -> None:
    model.graph.node.append(some_node(draw, model))


def swap_nodes(draw: Draw, model: ModelProto) -> None:
    nodes = list(model.graph.node)
    order = draw(st.permutations(nodes))
    del model.graph.node[:]
    model.graph.node.extend(order)


def change_op(draw: Draw, model: ModelProto) -> None:
    others = [node.op_type for seed in SEEDS for node in seed().graph.node]
    more = ["Loop", "Scan", "NoSuchOp", "Identity", "Range", "Tile", "Expand", "OneHot", "Shape"]
    some_node(draw, model).op_type = draw(st.sampled_from([*others, *more]))


def change_domain(draw: Draw, model: ModelProto) -> None:
    some_node(draw, model).domain = draw(st.sampled_from(["com.microsoft", "ghost", "ai.onnx.ml"]))


values = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(FLOATS),
    st.sampled_from(TEXTS),
    st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=5),
    st.lists(st.sampled_from(FLOATS), min_size=1, max_size=3),
    st.lists(st.sampled_from(TEXTS), min_size=1, max_size=2),
)


def change_attribute(draw: Draw, model: ModelProto) -> None:
    """Another value, often of another type."""
    node = some_node(draw, model)
    if node.attribute:
        place = draw(st.integers(0, len(node.attribute) - 1))
        name = node.attribute[place].name
        node.attribute[place].CopyFrom(helper.make_attribute(name, draw(values)))


def add_attribute(draw: Draw, model: ModelProto) -> None:
    known = ["axis", "keepdims", "kernel_shape", "pads", "strides", "dilations", "group", "to",
             "mode", "auto_pad", "ceil_mode", "transA", "epsilon", "perm", "axes"]  # fmt: skip
    attribute = helper.make_attribute(draw(st.sampled_from(known)), draw(values))
    some_node(draw, model).attribute.append(attribute)


def drop_attribute(draw: Draw, model: ModelProto) -> None:
    node = some_node(draw, model)
    if node.attribute:
        del node.attribute[draw(st.integers(0, len(node.attribute) - 1))]


def stale_type(draw: Draw, model: ModelProto) -> None:
    """An attribute that says of itself another type than it has."""
    node = some_node(draw, model)
    if node.attribute:
        kinds = st.sampled_from(sorted(AttributeProto.AttributeType.values()))
        node.attribute[0].type = draw(kinds)


def change_input_type(draw: Draw, model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = draw(st.sampled_from(TYPES))


def change_shape(draw: Draw, model: ModelProto) -> None:
    shape = model.graph.input[0].type.tensor_type.shape
    place = draw(st.integers(0, len(shape.dim)))
    if place == len(shape.dim):
        shape.dim.add(dim_value=draw(st.sampled_from(NUMBERS)))
    elif draw(st.booleans()):
        del shape.dim[place]
    else:
        shape.dim[place].dim_value = draw(st.sampled_from(NUMBERS))


def some_weight(draw: Draw, model: ModelProto) -> TensorProto:
    return draw(st.sampled_from(list(model.graph.initializer)))


def change_weight_type(draw: Draw, model: ModelProto) -> None:
    some_weight(draw, model).data_type = draw(st.sampled_from(TYPES))


def change_weight_shape(draw: Draw, model: ModelProto) -> None:
    weight = some_weight(draw, model)
    sizes = st.lists(st.sampled_from(NUMBERS), max_size=3)
    del weight.dims[:]
    weight.dims.extend(draw(sizes))


def truncate_weight(draw: Draw, model: ModelProto) -> None:
    weight = some_weight(draw, model)
    weight.raw_data = weight.raw_data[: draw(st.integers(0, 8))]


def change_numbers(draw: Draw, model: ModelProto) -> None:
    """Other numbers of the same type: huge starts, axes that are none, NaN."""
    weight = some_weight(draw, model)
    size = len(weight.raw_data)
    if size:
        data = bytearray(weight.raw_data)
        for _ in range(draw(st.integers(1, 4))):
            data[draw(st.integers(0, size - 1))] = draw(st.sampled_from([0, 1, 127, 128, 255]))
        weight.raw_data = bytes(data)


def as_strings(draw: Draw, model: ModelProto) -> None:
    weight = some_weight(draw, model)
    weight.ClearField("raw_data")
    weight.data_type = TensorProto.STRING
    weight.string_data.extend([b"x"] * draw(st.integers(0, 4)))


def move_outside(draw: Draw, model: ModelProto) -> None:
    weight = some_weight(draw, model)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    places = ["../secret", "/etc/passwd", "w.bin", "m.onnx", "", "a\0b"]
    weight.external_data.add(key="location", value=draw(st.sampled_from(places)))
    if draw(st.booleans()):
        weight.external_data.add(key="offset", value=draw(st.sampled_from(["-1", "9" * 40, "x"])))


def change_opset(draw: Draw, model: ModelProto) -> None:
    if not model.opset_import or draw(st.booleans()):
        del model.opset_import[:]
    else:
        model.opset_import[0].version = draw(st.sampled_from([-1, 0, 1, 6, 9, 13, 99, 2**31]))


def change_output(draw: Draw, model: ModelProto) -> None:
    model.graph.output[0].name = draw(st.sampled_from(names(model)))


def call_itself(draw: Draw, model: ModelProto) -> None:
    node = some_node(draw, model)
    body = helper.make_node("F", ["a"], ["b"], domain="local")
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    model.functions.append(helper.make_function("local", "F", ["a"], ["b"], [body], opsets))
    model.opset_import.append(helper.make_opsetid("local", 1))
    node.op_type, node.domain = "F", "local"


Mutation = Callable[[Draw, ModelProto], None]
MUTATIONS: tuple[Mutation, ...] = (
    change_input, drop_input, add_input, rename_output, drop_node, repeat_node, swap_nodes,
    change_op, change_domain, change_attribute, add_attribute, drop_attribute, stale_type,
    change_input_type, change_shape, change_weight_type, change_weight_shape, truncate_weight,
    change_numbers, as_strings, move_outside, change_opset, change_output, call_itself,
)  # fmt: skip


@st.composite
def damaged_files(draw: Draw, mutations: Sequence[Mutation] = MUTATIONS) -> bytes:
    """A seed with one to three changes to its graph, and sometimes some to its bytes."""
    model = draw(st.sampled_from(SEEDS))()
    for _ in range(draw(st.integers(0, 3))):
        if model.graph.node and model.graph.initializer:
            draw(st.sampled_from(mutations))(draw, model)
    data = bytearray(model.SerializeToString())
    if draw(st.integers(0, 3)) == 3:
        for _ in range(draw(st.integers(1, 3))):
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
        if draw(st.booleans()):
            data = data[: draw(st.integers(0, len(data)))]
    return bytes(data)
