"""Peak memory of reading and explaining an ONNX file with large weights, beside onnx.load.

    python -m benchmarks.onnx_memory [--layers 9] [--size 8192]

Writes an MLP of `layers` weights of size x size (float32) as external data, and again, as far as
protobuf allows (2 GB), inside the file. Every way runs in its own process (on Linux); what is
printed is the growth of its resident set at the peak, as a share of the weights.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

MEASURED = """
import re, sys
from pathlib import Path
import torch, onnx, lrp_engine as lrp
from lrp_engine.onnx.file import read
path, size = sys.argv[1], int(sys.argv[2])
torch.ones(2, 2) @ torch.ones(2, 2)
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
{body}
print(peak() - before)
"""
WAYS = {
    "onnx.load": "onnx.load(path)",
    "read": "read(path)",
    "read, every weight used": (
        "m = read(path)\nfor n in m.initializers: print(float(m.weight(n).sum()), file=sys.stderr)"
    ),
    "Engine": "lrp.Engine(path, torch.randn(1, size))",
    "Engine, one explanation": (
        "lrp.Engine(path, torch.randn(1, size)).explain(torch.randn(1, size), target=0).relevance"
    ),
}


def write(path: Path, layers: int, size: int, *, external: bool) -> int:
    """An MLP without activations but the last; returns the bytes of its weights."""
    nodes, weights, value = [], [], "x"
    data = path.with_suffix(".bin")
    with open(data, "wb") as stream:
        rng = np.random.default_rng(0)
        for i in range(layers):
            weight = (rng.standard_normal((size, size), np.float32) / size**0.5).tobytes()
            tensor = TensorProto(name=f"w{i}", data_type=TensorProto.FLOAT, dims=[size, size])
            if external:
                tensor.data_location = TensorProto.EXTERNAL
                place = {"location": data.name, "offset": stream.tell(), "length": len(weight)}
                for key, entry in place.items():
                    tensor.external_data.add(key=key, value=str(entry))
                stream.write(weight)
            else:
                tensor.raw_data = weight
            weights.append(tensor)
            nodes.append(helper.make_node("MatMul", [value, f"w{i}"], [f"h{i}"], name=f"layer{i}"))
            value = f"h{i}"
    ports = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", size]) for n in ("x", value)
    ]
    graph = helper.make_graph(nodes, "mlp", ports[:1], ports[1:], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(proto.SerializeToString())
    return layers * size * size * 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=9)
    parser.add_argument("--size", type=int, default=8192)
    chosen = parser.parse_args()
    for external in (True, False):
        layers = chosen.layers if external else min(chosen.layers, int(1.9e9 / 4 / chosen.size**2))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mlp.onnx"
            total = write(path, layers, chosen.size, external=external)
            print(f"{total / 1e9:.2f} GB of weights,", "external" if external else "in the file")
            for way, body in WAYS.items():
                words = [sys.executable, "-W", "ignore", "-c", MEASURED.format(body=body)]
                done = subprocess.run(
                    [*words, str(path), str(chosen.size)],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                grown = done.stdout.split()
                shown = f"{int(grown[-1]) * 1024 / total:.2f}" if grown else done.stderr[-300:]
                print(f"  {way:26} {shown}", flush=True)


if __name__ == "__main__":
    main()
