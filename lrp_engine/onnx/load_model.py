"""Load an ONNX file as a torch module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto

from .file import OnnxModel, from_bytes, from_proto, read
from .import_graph import import_graph
from .onnx_module import OnnxModule


def load(
    path: str | Path | bytes | ModelProto, settings: Mapping[str, object] | None = None
) -> OnnxModule:
    """Load an ONNX file, or a model that is in memory, as a torch module.

    Nothing in the file is executed, and weights stay in it until they are used.

    Args:
        path: The file, whose external data has to lie in its folder; or its bytes, or a
            `ModelProto`, without external data.
        settings: Inputs that are bound to constants, such as a sampling rate that branches depend
            on: `{"sr": 16000}`. They are no inputs any more.

    Raises:
        InputError: for a setting that is no input of the file, or does not fit it.
        OnnxFileError: for a file that is damaged or asks for too much.
        Unsupported: with every node that has no entry in the op table.

    Example:
        >>> import onnx, tempfile, torch
        >>> model = onnx.parser.parse_model('''<ir_version: 8, opset_import: ["" : 17]>
        ...     g (float[n] x) => (float[n] y) <float[1] two = {2.0}> { y = Mul(x, two) }''')
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     onnx.save(model, folder + "/double.onnx")
        ...     module = load(folder + "/double.onnx")
        >>> module(torch.tensor([1.0, 2.0]))
        {'y': tensor([2., 4.])}
    """
    bound = dict(settings or {})
    return OnnxModule(import_graph(_read(path), settings=bound), bound)


def _read(given: str | Path | bytes | ModelProto) -> OnnxModel:
    if isinstance(given, ModelProto):
        return from_proto(given)
    return from_bytes(bytes(given)) if isinstance(given, (bytes, bytearray)) else read(given)
