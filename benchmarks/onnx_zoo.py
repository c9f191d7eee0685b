"""Every architecture of the test zoo through ONNX: does the file get the same relevance?

    python -m benchmarks.onnx_zoo [--exporters "dynamo 20" ...] [--only NAME ...] [--table FILE]

For each model and exporter: the largest difference of the outputs from onnxruntime's, and of the
relevance from native capture's under `attnlrp` and `epsilon`, each relative to the largest entry.
One line per pair, written as soon as it is known; lines that are there already are not made again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from tests.zoo.entry import Entry, lively
from tests.zoo.table import ZOO

EXPORTERS = ("dynamo 18", "dynamo 20", "dynamo 23", "legacy 13", "legacy 17")
PRESETS = ("attnlrp", "epsilon")


class OneOutput(nn.Module):
    """The tensor that is explained, from named arguments in order."""

    def __init__(self, model: nn.Module, names: list[str], output: str | None) -> None:
        super().__init__()
        self.model, self.names, self.output = model, names, output

    def forward(self, *inputs: Tensor) -> Tensor:
        out = self.model(**dict(zip(self.names, inputs, strict=True)))
        if isinstance(out, Tensor):
            return out
        name = self.output or ("logits" if "logits" in out else next(iter(out)))
        return out[name]


def single(entry: Entry) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The model and its inputs in single precision: what files hold."""
    inputs = {
        name: t.float() if t.is_floating_point() else t for name, t in entry.inputs(2, 7).items()
    }
    names = list(inputs)
    model = OneOutput(lively(entry.model(), 0).float(), names, entry.output)
    return model.eval(), tuple(inputs.values())


def compared(entry: Entry, exporter: str, folder: Path) -> dict[str, Any]:
    """The differences of one pair, or what went wrong and where."""
    stage = "model"
    try:
        model, inputs = single(entry)
        stage, path = "export", folder / "model.onnx"
        kind, opset = exporter.split()
        extra = {"verbose": False} if kind == "dynamo" else {}
        torch.onnx.export(
            model, inputs, path, dynamo=kind == "dynamo", opset_version=int(opset), **extra
        )
        stage = "onnxruntime"
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [port.name for port in onnx.load(path, load_external_data=False).graph.input]
        by_name = _matched(names, inputs, session)
        expected = torch.from_numpy(session.run(None, by_name)[0])
        found: dict[str, Any] = {}
        for preset in PRESETS:
            stage = f"{preset} natively"
            native = lrp.Engine(model, inputs, preset=preset, dynamic=False)
            output = native.forward(inputs).output
            target = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
            want = native.explain(inputs, target=target).relevance
            stage = f"{preset} from the file"
            tensors = tuple(torch.from_numpy(by_name[n]) for n in names)
            imported = lrp.Engine(path, tensors, preset=preset, dynamic=False)
            (out, *_) = imported.forward(tensors).output.values()
            have = imported.explain(tensors, target=target).relevance
            found["output"] = _difference(expected, out)
            found[preset] = max(
                _difference(w, h) for w, h in zip(want.values(), have.values(), strict=True)
            )
        return found
    except Exception as error:
        return {"stage": stage, "error": f"{type(error).__name__}: {error}"[:300]}


def _matched(names: list[str], inputs: tuple[Tensor, ...], session: Any) -> dict[str, np.ndarray]:
    """Inputs by the file's names. Exporters drop those that the model does not use."""
    arrays = [t.numpy() for t in inputs]
    if len(names) == len(arrays):
        return dict(zip(names, arrays, strict=True))
    left, found = list(arrays), {}
    for port in session.get_inputs():
        found[port.name] = next(a for a in left if list(a.shape) == port.shape)
        left = [a for a in left if a is not found[port.name]]
    return found


def _difference(want: Tensor, have: Tensor) -> float:
    return float((want - have).abs().max() / want.abs().max().clamp_min(1e-30))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exporters", nargs="+", default=EXPORTERS)
    parser.add_argument("--only", nargs="+", default=list(ZOO))
    parser.add_argument("--table", type=Path, default=Path("onnx_zoo.jsonl"))
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    lines = chosen.table.read_text().splitlines() if chosen.table.exists() else []
    done = {(row["model"], row["exporter"]) for row in map(json.loads, lines)}
    for exporter in chosen.exporters:
        for name in chosen.only:
            if (name, exporter) in done:
                continue
            with tempfile.TemporaryDirectory() as folder:
                row = {"model": name, "exporter": exporter}
                row |= compared(ZOO[name], exporter, Path(folder))
            with chosen.table.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            print(row, flush=True)


if __name__ == "__main__":
    main()
