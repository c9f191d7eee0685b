"""Reading ONNX files: weights come out as they went in, and stay in their file until used."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from lrp_engine.errors import OnnxFileError
from lrp_engine.onnx.file import LARGE, from_proto, read
from lrp_engine.onnx.tensors import SUB_BYTE, TORCH_DTYPES


def model_with(*tensors: TensorProto) -> onnx.ModelProto:
    """A model that adds nothing to its input and owns the given initialisers."""
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"], name="same")
    graph = helper.make_graph([node], "same", ports[:1], ports[1:], initializer=list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize("data_type", [*TORCH_DTYPES, *SUB_BYTE])
@pytest.mark.parametrize("raw", [True, False])
def test_every_element_type(data_type: int, raw: bool, tmp_path: Path) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(data_type)
    array = np.array([0, 1, 1, 0, 1, 0], np.float32).astype(dtype).reshape(2, 3)
    if raw:
        proto = numpy_helper.from_array(array, "w")
    else:
        values = array.reshape(-1).tolist()
        if data_type in SUB_BYTE or TORCH_DTYPES[data_type].itemsize == 1:
            values = array.reshape(-1).astype(np.float32).tolist()
        proto = helper.make_tensor("w", data_type, (2, 3), values)
    onnx.save(model_with(proto), tmp_path / "m.onnx")
    weight = read(tmp_path / "m.onnx").weight("w")
    expected = SUB_BYTE[data_type][1] if data_type in SUB_BYTE else TORCH_DTYPES[data_type]
    assert weight.dtype == expected
    np.testing.assert_array_equal(weight.to(torch.complex128).numpy(), array.astype(complex))


def large(name: str, rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 300), np.float32)


@pytest.mark.parametrize("name", ["w", "wx", "wxy", "wxyz"])  # shifts the data's alignment
def test_large_weights_inside_the_file_are_mapped(name: str, tmp_path: Path) -> None:
    first, second = large(name, 200, 0), large("v", 100, 1)
    proto = model_with(numpy_helper.from_array(first, name), numpy_helper.from_array(second, "v"))
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(first, "t"))
    proto.graph.node.insert(0, constant)
    onnx.save(proto, tmp_path / "m.onnx")
    model = read(tmp_path / "m.onnx")
    assert first.nbytes >= LARGE
    assert model.proto.ByteSize() < 1000  # the weights are not in it
    assert model.weight_bytes == 2 * first.nbytes + second.nbytes
    np.testing.assert_array_equal(model.weight(name).numpy(), first)
    np.testing.assert_array_equal(model.weight("v").numpy(), second)
    value = model.proto.graph.node[0].attribute[0].t
    np.testing.assert_array_equal(model.tensor(value).numpy(), first)


def test_external_weights_are_mapped_and_private(tmp_path: Path) -> None:
    array = large("w", 200, 0)
    (tmp_path / "inner").mkdir()
    proto = model_with(numpy_helper.from_array(array, "w"), numpy_helper.from_array(array, "v"))
    onnx.save(
        proto, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin",
        size_threshold=0,
    )  # fmt: skip
    model = read(tmp_path / "m.onnx")
    weight = model.weight("w")
    np.testing.assert_array_equal(weight.numpy(), array)
    assert weight.data_ptr() == model.weight("w").data_ptr()  # mapped, not copied
    weight.zero_()
    np.testing.assert_array_equal(read(tmp_path / "m.onnx").weight("w").numpy(), array)


def test_bytes_that_are_not_0_or_1_are_true(tmp_path: Path) -> None:
    proto = TensorProto(name="w", data_type=TensorProto.BOOL, dims=[3], raw_data=b"\0\1\2")
    assert from_proto(model_with(proto)).weight("w").tolist() == [False, True, True]


def test_a_link_to_the_model_itself_is_the_users_own(tmp_path: Path) -> None:
    onnx.save(model_with(), tmp_path / "m.onnx")
    (tmp_path / "link.onnx").symlink_to(tmp_path / "m.onnx")
    assert read(tmp_path / "link.onnx").proto.graph.name == "same"


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3)])
def test_weights_without_entries(shape: tuple[int, ...], tmp_path: Path) -> None:
    onnx.save(model_with(numpy_helper.from_array(np.zeros(shape, np.float32), "w")), tmp_path / "m")
    assert read(tmp_path / "m").weight("w").shape == shape


def test_unknown_weight(tmp_path: Path) -> None:
    with pytest.raises(OnnxFileError, match="no initialiser 'w'"):
        from_proto(model_with()).weight("w")


# The resident set's high-water mark, which a new process starts afresh (ru_maxrss is inherited).
PEAK = """
import re, sys
from pathlib import Path
from lrp_engine.onnx.file import read
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
model = read(sys.argv[1])
total = sum(float(model.weight(name)[0, :1000].sum()) for name in model.initializers)
print(peak() - before, total)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_more_than_two_gigabytes_take_little_memory(tmp_path: Path) -> None:
    rows = 600_000  # of 4 kB: 2.4 GB, a hole in the file
    with open(tmp_path / "weights.bin", "wb") as stream:
        stream.truncate(rows * 4096)
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[rows, 1024])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    onnx.save(model_with(tensor), tmp_path / "m.onnx")
    assert read(tmp_path / "m.onnx").weight_bytes > 2**31
    path = str(tmp_path / "m.onnx")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, path], capture_output=True, text=True, check=True
    )
    assert float(done.stdout.split()[0]) < 50_000  # kB
