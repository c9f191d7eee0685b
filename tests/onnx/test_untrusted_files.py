"""Files made to do harm are refused, each with its own reason, before anything is built."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from lrp_engine.errors import LrpError, OnnxFileError
from lrp_engine.onnx.file import from_proto, read
from lrp_engine.onnx.limits import (
    AllocationGuard,
    Quota,
    check_iterations,
    folding_quota,
)


def model(
    nodes: list[NodeProto] | None = None,
    weights: list[TensorProto] | None = None,
    functions: list[onnx.FunctionProto] | None = None,
) -> ModelProto:
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xy"]
    nodes = nodes or [helper.make_node("Relu", ["x"], ["y"], name="relu")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], initializer=weights or [])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions or [])


def external(location: str, **entries: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with a secret beside it."""
    (tmp_path / "secret.bin").write_bytes(b"secret" * 10)
    inner = tmp_path / "model"
    inner.mkdir()
    (inner / "good.bin").write_bytes(bytes(16))
    (inner / "link.bin").symlink_to(tmp_path / "secret.bin")
    (inner / "up").symlink_to(tmp_path)
    os.link(tmp_path / "secret.bin", inner / "hard.bin")
    os.mkfifo(inner / "pipe.bin")
    return inner


def refused(folder: Path, proto: ModelProto) -> str:
    """The reason given, by both ways in, within a second."""
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    start = time.monotonic()
    with pytest.raises(OnnxFileError) as caught:
        read(folder / "m.onnx")
    assert time.monotonic() - start < 5  # hangs and floods, not speed
    assert str(caught.value).startswith("m.onnx is refused: ")
    assert isinstance(caught.value, LrpError)
    return str(caught.value)


OUTSIDE = "outside the model's folder"


@pytest.mark.parametrize(
    "location, reason",
    [
        ("../secret.bin", OUTSIDE),
        ("a/../../secret.bin", OUTSIDE),
        ("/etc/passwd", OUTSIDE),
        ("C:\\secret.bin", OUTSIDE),
        ("..\\secret.bin", OUTSIDE),
        ("C:secret.bin", OUTSIDE),
        ("\\\\server\\share", OUTSIDE),
        ("good.bin\0.txt", OUTSIDE),
        (".", OUTSIDE),
        ("x" * 5000, OUTSIDE),
        ("x" * 3000, "not there"),
        ("link.bin", "symbolic link"),
        ("up/secret.bin", "symbolic link"),
        ("hard.bin", "hard link"),
        ("pipe.bin", "not a regular file"),
        ("up", "symbolic link"),
        ("missing.bin", "not there"),
        ("good.bin/inner", "not there"),
    ],
)
def test_places_of_weights(folder: Path, location: str, reason: str) -> None:
    assert reason in refused(folder, model(weights=[external(location)]))


def test_a_good_place_is_read(folder: Path) -> None:
    (folder / "m.onnx").write_bytes(model(weights=[external("good.bin")]).SerializeToString())
    assert read(folder / "m.onnx").weight("w").tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "entries, reason",
    [
        ({"offset": "4"}, "ends at byte 20"),
        ({"offset": "17"}, "ends at byte 33"),
        ({"offset": "1" * 19}, "ends at byte 1,111"),
        ({"offset": "9" * 5000}, "as its offset"),
        ({"offset": "-4"}, "as its offset"),
        ({"length": "-16"}, "as its length"),
        ({"length": "8"}, "needs 16 bytes, its entry says 8"),
        ({"length": "32"}, "needs 16 bytes, its entry says 32"),
        ({"offset": "0x0"}, "as its offset"),
        ({"offset": "１"}, "as its offset"),
    ],
)
def test_bounds_of_weights(folder: Path, entries: dict[str, str], reason: str) -> None:
    assert reason in refused(folder, model(weights=[external("good.bin", **entries)]))


def test_other_faults_of_external_weights(folder: Path) -> None:
    twice = external("good.bin")
    twice.external_data.add(key="location", value="link.bin")
    assert "gives its location twice" in refused(folder, model(weights=[twice]))
    nowhere = external("good.bin")
    del nowhere.external_data[:]
    assert "names no file" in refused(folder, model(weights=[nowhere]))
    # Attributes and subgraphs are looked at too.
    constant = helper.make_node("Constant", [], ["c"], value=external("../secret.bin"))
    relu = helper.make_node("Relu", ["x"], ["y"])
    assert OUTSIDE in refused(folder, model([constant, relu]))
    branch = helper.make_graph([], "b", [], [], initializer=[external("../secret.bin")])
    inside = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    assert OUTSIDE in refused(folder, model([inside]))
    in_function = helper.make_function("local", "F", ["a"], ["c"], [constant], [])
    assert OUTSIDE in refused(folder, model(functions=[in_function]))


def test_external_weights_need_a_folder() -> None:
    with pytest.raises(OnnxFileError, match="read the model from its path"):
        from_proto(model(weights=[external("good.bin")]))


def tensor(**fields: object) -> TensorProto:
    base = {"name": "w", "data_type": TensorProto.FLOAT, "dims": [2], "raw_data": bytes(8)}
    return TensorProto(**{**base, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "weight, reason",
    [
        (tensor(dims=[-4]), "has the shape (-4,)"),
        (tensor(dims=[-2, -1]), "has the shape (-2, -1)"),
        (tensor(dims=[2**62, 4]), "has the shape"),
        (tensor(dims=[0, 2**62]), "has the shape"),
        (tensor(dims=[3]), "needs 12 bytes and has 8"),
        (tensor(dims=[2**30, 2**30]), "needs 4,611,686,018,427,387,904 bytes"),
        (tensor(data_type=0), "elements of type UNDEFINED"),
        (tensor(data_type=99), "elements of type 99"),
        (tensor(data_type=-1), "elements of type -1"),
        (tensor(data_type=TensorProto.STRING), "needs 2 entries in string_data and has 0"),
        (
            TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], int64_data=[1, 2]),
            "needs 2 entries in float_data and has 0",
        ),
        (
            TensorProto(name="w", data_type=TensorProto.INT4, dims=[4], int32_data=[1, 2, 3]),
            "needs 2 entries in int32_data and has 3",
        ),
    ],
)
def test_weights_that_contradict_themselves(folder: Path, weight: TensorProto, reason: str) -> None:
    assert reason in refused(folder, model(weights=[weight]))


def test_typed_entries_out_of_range() -> None:
    wide = TensorProto(name="w", data_type=TensorProto.INT8, dims=[1], int32_data=[1000])
    with pytest.raises(OnnxFileError, match="entries beyond INT8"):
        from_proto(model(weights=[wide])).weight("w")
    text = TensorProto(name="w", data_type=TensorProto.STRING, dims=[1], string_data=[b"a"])
    with pytest.raises(OnnxFileError, match="holds strings"):
        from_proto(model(weights=[text])).weight("w")


def relu(source: str, target: str, **attributes: object) -> NodeProto:
    return helper.make_node("Relu", [source], [target], **attributes)


def negative_size(proto: ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -3


def unknown_type(proto: ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = 77


def sparse(proto: ModelProto) -> None:
    proto.graph.sparse_initializer.add()


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda m: m.ClearField("graph"), "holds no graph"),
        (lambda m: m.ClearField("opset_import"), "names no opset"),
        (lambda m: m.graph.ClearField("output"), "has no outputs"),
        (negative_size, "'x' has a negative size, -3"),
        (unknown_type, "'x' has elements of type 77"),
        (sparse, "sparse initialisers"),
        (lambda m: m.graph.node.append(relu("x", "y")), "two values are called 'y'"),
        (lambda m: m.graph.node.append(relu("x", "x")), "two values are called 'x'"),
        (lambda m: m.graph.input.append(m.graph.input[0]), "two inputs are called 'x'"),
        (lambda m: m.graph.initializer.extend([tensor()] * 2), "two initialisers are called 'w'"),
        (lambda m: m.graph.node.append(relu("ghost", "z")), "reads 'ghost'"),
        (lambda m: m.graph.node.extend([relu("b", "a"), relu("a", "b")]), "reads 'b'"),
        (lambda m: m.graph.node.append(relu("late", "late")), "reads 'late'"),
        (lambda m: m.graph.ParseFromString(b"\x12\x01\xff"), "its name b'\\xff' is no text"),
        (lambda m: m.graph.output.add(name="ghost"), "nothing computes the output 'ghost'"),
    ],
)
def test_graphs_that_are_none(
    folder: Path, change: Callable[[ModelProto], object], reason: str
) -> None:
    proto = model()
    change(proto)
    assert reason in refused(folder, proto)


def function(name: str, *calls: str) -> onnx.FunctionProto:
    """Calls others one after the other."""
    names = ["a", *(f"v{i}" for i in range(1, len(calls))), "b"]
    nodes = [
        helper.make_node(op, [names[i]], [names[i + 1]], domain="local" if op != "Relu" else "")
        for i, op in enumerate(calls)
    ]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, ["a"], ["b"], nodes, opsets)


def calling(name: str) -> list[NodeProto]:
    return [helper.make_node(name, ["x"], ["y"], domain="local")]


def test_functions_that_never_end(folder: Path) -> None:
    itself = [function("F", "F")]
    assert "function 'F' calls itself" in refused(folder, model(calling("F"), functions=itself))
    ring = [function("F", "G"), function("G", "H"), function("H", "F")]
    assert "calls itself" in refused(folder, model(calling("F"), functions=ring))
    long_ring = [function(f"F{i}", f"F{(i + 1) % 3000}") for i in range(3000)]
    assert "calls itself" in refused(folder, model(calling("F0"), functions=long_ring))
    branch = helper.make_graph(
        [helper.make_node("F", ["a"], ["c"], domain="local")],
        "b",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [2])],
    )
    node = helper.make_node("If", ["a"], ["b"], then_branch=branch, else_branch=branch)
    hidden = helper.make_function("local", "F", ["a"], ["b"], [node], [])
    assert "calls itself" in refused(folder, model(calling("F"), functions=[hidden]))
    twins = [function("F", "Relu"), function("F", "Relu")]
    assert "two functions are called 'F'" in refused(folder, model(functions=twins))


def test_functions_that_explode(folder: Path) -> None:
    """30 functions, each calling the next twice: a billion nodes from 2 kB."""
    chain = [function(f"F{i}", f"F{i + 1}", f"F{i + 1}") for i in range(30)]
    bomb = model(calling("F0"), functions=[*chain, function("F30", "Relu")])
    assert "come to 1,073,741,824 nodes" in refused(folder, bomb)
    few = model(calling("F20"), functions=[*chain, function("F30", "Relu")])
    assert from_proto(few).proto.graph.node[0].op_type == "F20"


@pytest.mark.parametrize("keep", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_truncated_files(folder: Path, keep: float) -> None:
    array = np.ones((200, 200), np.float32)
    whole = model(weights=[numpy_helper.from_array(array, "w")]).SerializeToString()
    (folder / "m.onnx").write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(OnnxFileError, match=r"m\.onnx is refused"):
        read(folder / "m.onnx")


@pytest.mark.parametrize("seed", range(8))
def test_damaged_files_raise_nothing_else(folder: Path, seed: int) -> None:
    """Random bytes in a good file: it is read, or refused, and nothing else happens."""
    rng = np.random.default_rng(seed)
    array = np.ones((200, 200), np.float32)
    good = model(weights=[numpy_helper.from_array(array, "w"), external("good.bin")])
    good.graph.initializer[1].name = "v"
    whole = bytearray(good.SerializeToString())
    small = [*range(120), *range(len(whole) - 200, len(whole))]  # not inside the weight
    for _ in range(50):
        data = bytearray(whole)
        for at in rng.choice(small, 3):
            data[at] = rng.integers(256)
        (folder / "m.onnx").write_bytes(data)
        try:
            got = read(folder / "m.onnx")
            for name in got.initializers:
                got.weight(name)
        except OnnxFileError:
            pass


def test_files_that_are_none(folder: Path, tmp_path: Path) -> None:
    for path, content, reason in [
        ("missing.onnx", None, "no such file"),
        ("empty.onnx", b"", "it is empty"),
        ("text.onnx", b"this is no model\n", "not an ONNX model"),
        ("zeros.onnx", bytes(100), "not an ONNX model|holds no graph"),
        ("pickle.onnx", b"\x80\x04\x95" + bytes(40), "not an ONNX model"),
    ]:
        if content is not None:
            (folder / path).write_bytes(content)
        with pytest.raises(OnnxFileError, match=reason):
            read(folder / path)
    for path in (folder, folder / "pipe.bin"):
        with pytest.raises(OnnxFileError, match="not a regular file"):
            read(path)


def test_deep_nesting_is_refused(folder: Path) -> None:
    """If inside If, 400 deep."""
    graph = b""
    for _ in range(400):
        attribute = b"\x32" + varint(len(graph)) + graph  # g
        node = b"\x2a" + varint(len(attribute)) + attribute
        graph = b"\x0a" + varint(len(node)) + node
    data = b"\x3a" + varint(len(graph)) + graph
    (folder / "m.onnx").write_bytes(data)
    with pytest.raises(OnnxFileError):
        read(folder / "m.onnx")


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_constants_are_paid_for_before_they_are_made() -> None:
    budget = folding_quota(0)
    with pytest.raises(OnnxFileError, match="3,600,000,000"), AllocationGuard(budget, "node 'big'"):
        torch.full((900_000_000,), 1.0)
    assert budget.spent == 0
    for huge in (
        lambda: torch.zeros(1, 2).repeat(10**6, 10**4).sum(),
        lambda: torch.zeros(1).expand(10**12).amax(),
        lambda: torch.arange(10**12),
        lambda: torch.nn.functional.pad(torch.zeros(1), (0, 10**12)),
        lambda: torch.nn.functional.one_hot(torch.tensor([1]), 10**12),
        lambda: torch.nn.functional.interpolate(torch.zeros(1, 1, 2, 2), scale_factor=1e5),
        lambda: torch.zeros(10**6, 1) @ torch.zeros(1, 10**6),
        lambda: torch.eye(10**6),
        lambda: torch.tril(torch.ones(1, 1).expand(10**6, 10**6)),
    ):
        with pytest.raises(OnnxFileError, match="are allowed"), AllocationGuard(budget, "node"):
            huge()
    with AllocationGuard(Quota("bytes", 400), "node"):
        value = torch.ones(10, 10).t().t()  # views are free
    assert value.sum() == 100


def test_many_small_constants_add_up() -> None:
    budget = Quota("bytes", 1000)
    with AllocationGuard(budget, "n"):
        torch.zeros(100)
        torch.zeros(100)
    assert budget.spent == 800
    with (
        pytest.raises(OnnxFileError, match="1,200; 1,000 are allowed"),
        AllocationGuard(budget, "n"),
    ):
        torch.zeros(100)


def test_sizes_that_depend_on_data_are_bounded_by_the_data() -> None:
    with AllocationGuard(Quota("bytes", 10_000), "n"):
        assert torch.ones(3, 3).nonzero().shape == (9, 2)
        assert torch.ones(3).sum().item() == 3


def test_loops_are_capped() -> None:
    assert check_iterations(12, "l") == 12
    assert check_iterations(-1, "l") == 0
    with pytest.raises(OnnxFileError, match="runs 9,223,372,036,854,775,807 times"):
        check_iterations(2**63 - 1, "l")
