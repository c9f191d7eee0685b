"""Read an ONNX file: check its graph, and map its weights where they lie.

Files may come from anywhere. Nothing outside the model's folder is opened, nothing is executed, and
a file that is damaged, contradicts itself or asks for too much is refused before anything is built.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto
from torch import Tensor

from ..boundary.reading import fault_text
from ..errors import OnnxFileError
from .external import (
    MappedFile,
    MappedFiles,
    find_beside,
    map_file,
    span_of,
)
from .parse import strip_weights
from .tensors import byte_count, check_tensor, tensor_of
from .well_formed import check_model, tensors_in

LARGE = 1 << 16  # weights inside the file of this many bytes or more are mapped, not parsed


@dataclass(frozen=True)
class OnnxModel:
    """A checked ONNX model.

    Attributes:
        path: The file; the graph's name where there is no file.
        proto: The model without its large weights.
        initializers: The top graph's initialisers by name, as the file describes them.
        files: The files that the weights lie in.
    """

    path: Path
    proto: ModelProto
    initializers: Mapping[str, TensorProto]
    files: MappedFiles

    def weight(self, name: str) -> Tensor:
        """Return an initialiser of the top graph. Raises OnnxFileError if there is none."""
        if name not in self.initializers:
            raise OnnxFileError(f"{self.path.name} has no initialiser {name!r}")
        return self.tensor(self.initializers[name])

    def tensor(self, proto: TensorProto) -> Tensor:
        """Return the value of one of this model's tensors: an initialiser or an attribute."""
        return tensor_of(proto, self.files)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors that the file brings."""
        numeric = (t for t in tensors_in(self.proto) if t.data_type != TensorProto.STRING)
        return sum(byte_count(tensor) for tensor in numeric)


def read(path: str | Path) -> OnnxModel:
    """Read and check an ONNX file.

    Weights are mapped: memory is taken when they are used, and writing to one never reaches the
    file. External data must lie in the model's folder, reached without links.

    Raises OnnxFileError with the file's name and the reason.

    Example:
        >>> import tempfile, onnx
        >>> double = onnx.parser.parse_model('''<ir_version: 8, opset_import: ["" : 17]>
        ...     double (float[n] x) => (float[n] y) <float[1] two = {2.0}> { y = Mul(x, two) }''')
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     onnx.save(double, folder + "/double.onnx")
        ...     model = read(folder + "/double.onnx")
        >>> model.proto.graph.node[0].op_type, model.weight("two")
        ('Mul', tensor([2.]))
    """
    path = Path(path)
    try:
        file = _open(path)
        proto = _parse(strip_weights(file.data.numpy().data, LARGE))
        return _checked(path, proto, path.parent, {"": file})
    except Exception as fault:  # whatever damaged data leads to
        raise OnnxFileError(f"{path.name} is refused: {fault_text(fault)}") from fault


def from_proto(proto: ModelProto, folder: str | Path | None = None) -> OnnxModel:
    """Check a model that is in memory already; its external data lies in `folder`, if given."""
    name = str(proto.graph.name) or "the model"
    try:
        return _checked(Path(name), proto, None if folder is None else Path(folder), {})
    except Exception as fault:
        raise OnnxFileError(f"{name} is refused: {fault_text(fault)}") from fault


def from_bytes(data: bytes) -> OnnxModel:
    """Read and check the bytes of an ONNX file without external data; raise OnnxFileError."""
    return from_proto(_parse(data))


def _open(path: Path) -> MappedFile:
    if not path.exists():
        raise OnnxFileError("there is no such file")
    if not path.is_file():
        raise OnnxFileError("it is not a regular file")
    if not os.access(path, os.R_OK):
        raise OnnxFileError("it may not be read")
    if not path.stat().st_size:
        raise OnnxFileError("it is empty")
    return map_file(path)


def _parse(data: bytes) -> ModelProto:
    try:
        proto = ModelProto()
        proto.ParseFromString(data)
        return proto
    except (DecodeError, RecursionError) as error:
        raise OnnxFileError("it is cut off, damaged or not an ONNX model") from error


def _checked(path: Path, proto: ModelProto, folder: Path | None, files: MappedFiles) -> OnnxModel:
    check_model(proto)
    tensors = list(tensors_in(proto))
    files = {**files, **_files_beside(tensors, folder)}
    for tensor in tensors:
        check_tensor(tensor, files)
    initializers = {tensor.name: tensor for tensor in proto.graph.initializer}
    return OnnxModel(path, proto, initializers, files)


def _files_beside(tensors: list[TensorProto], folder: Path | None) -> MappedFiles:
    """Map the files of external weights. Location "" is the model file itself, which is open."""
    if folder is None:
        return {}
    external = (t for t in tensors if t.data_location == TensorProto.EXTERNAL)
    locations = {span_of(tensor).location for tensor in external} - {""}
    return {at: map_file(find_beside(folder, at)) for at in sorted(locations)}
