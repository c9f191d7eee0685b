"""Inputs and outputs as an ONNX file declares them: names, element types, sizes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from onnx import GraphProto, TensorProto, TensorShapeProto, ValueInfoProto
from torch import Tensor

from ..errors import CaptureError, InputError
from .unsupported import Refused
from .values import dtype_of

_SIZES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31)
_IMAGE = 224


@dataclass(frozen=True)
class OnnxInput:
    """One input: `sizes` has a number for a fixed axis, a name ("" if it has none) for a free one.

    `sizes` is None if the file does not even say how many axes there are.
    """

    name: str
    dtype: torch.dtype
    sizes: tuple[int | str, ...] | None

    def free(self) -> tuple[int, ...]:
        """Return the axes that the file leaves open."""
        return tuple(i for i, size in enumerate(self.sizes or ()) if isinstance(size, str))

    @property
    def shape_text(self) -> str:
        """The declared shape, `?` for a size without number and name."""
        if self.sizes is None:
            return "(any shape)"
        return f"({', '.join(str(size) or '?' for size in self.sizes)})"


def inputs_of(graph: GraphProto, constants: Iterable[str]) -> tuple[OnnxInput, ...]:
    """Return the inputs that a caller gives; old files list initializers as inputs, too."""
    held = set(constants)
    return tuple(_port(value) for value in graph.input if value.name not in held)


def outputs_of(graph: GraphProto) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the outputs that are numbers, and of those that are text."""
    text = {v.name for v in graph.output if v.type.tensor_type.elem_type == TensorProto.STRING}
    names = [value.name for value in graph.output]
    return tuple(n for n in names if n not in text), tuple(n for n in names if n in text)


def _port(value: ValueInfoProto) -> OnnxInput:
    kind = value.type.tensor_type
    if value.type.WhichOneof("value") not in ("tensor_type", None):
        raise CaptureError(f"input {value.name!r} is no tensor, and only tensors can be given")
    sizes = None
    if kind.HasField("shape"):
        dims = kind.shape.dim
        sizes = tuple(map(_declared_size, dims))
    try:
        dtype = dtype_of(kind.elem_type or TensorProto.FLOAT)
    except Refused as refused:
        raise CaptureError(
            f"input {value.name!r}: {refused}. Cut the file behind what reads it, so that numbers"
            " that torch has are its inputs."
        ) from refused
    return OnnxInput(value.name, dtype, sizes)


def _declared_size(dim: TensorShapeProto.Dimension) -> int | str:
    """Return a size, or the name of a free one; some exporters write -1 for a size that is free."""
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param


def describe_made_up(ports: Sequence[OnnxInput], made: Sequence[Tensor]) -> tuple[str, ...]:
    """Say which sizes of example inputs the file left open, and what they were taken for."""
    open_sizes = [
        f"{port.name} {port.shape_text} as {tuple(tensor.shape)}"
        for port, tensor in zip(ports, made, strict=True)
        if port.free()
    ]
    if not open_sizes:
        return ()
    return (
        f"sizes that the file leaves open were made up: {', '.join(open_sizes)}. Where others are"
        " meant, give example inputs",
    )


def make_example(ports: Sequence[OnnxInput]) -> tuple[Tensor, ...]:
    """Make up inputs of the declared types and sizes: noise, and ones for integers.

    Raises InputError for an input whose number of axes the file does not say.
    """
    unknown = [port.name for port in ports if port.sizes is None]
    if unknown:
        raise InputError(
            f"the file does not say what shape {', '.join(unknown)} has: give example inputs"
        )
    named: dict[object, int] = {}
    fresh = iter(_SIZES)
    generator = torch.Generator().manual_seed(0)
    made = []
    for i, port in enumerate(ports):
        shape = [
            size if isinstance(size, int) else _size(port, i, axis, named, fresh)
            for axis, size in enumerate(port.sizes or ())
        ]
        made.append(_filled(shape, port.dtype, generator))
    return tuple(made)


def _size(
    port: OnnxInput, i: int, axis: int, named: dict[object, int], fresh: Iterable[int]
) -> int:
    """Choose one size per name; axes 0 without a name are taken for the batch."""
    if len(port.sizes or ()) == 4 and axis >= 2 and port.dtype.is_floating_point:
        return _IMAGE
    group = _group(port, i, axis)
    if group not in named:
        named[group] = next(iter(fresh))
    return named[group]


def _group(port: OnnxInput, i: int, axis: int) -> object:
    name = (port.sizes or ())[axis] if port.sizes else ""
    return name or ("batch" if axis == 0 else (i, axis))


def _filled(shape: Sequence[int], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.ones(shape, dtype=dtype)


def free_axes(
    ports: Sequence[OnnxInput], inputs: Sequence[Tensor]
) -> tuple[dict[int, object], ...]:
    """Return, per input, its free axes and the group of axes that each shares its size with."""
    found = []
    for i, (port, tensor) in enumerate(zip(ports, inputs, strict=True)):
        axes = port.free() if port.sizes is not None else tuple(range(tensor.dim()))
        found.append({axis: _group(port, i, axis) for axis in axes})
    return tuple(found)


def make_sizes_distinct(
    inputs: Sequence[Tensor], axes: Sequence[Mapping[int, object]]
) -> tuple[Tensor, ...]:
    """Repeat or cut the inputs so that free axes are neither of size 1 nor alike by accident.

    torch.export makes an axis of size 1 a constant, and takes two axes of one size for the same.
    """
    sizes: dict[object, int] = {}
    pairs = list(zip(inputs, axes, strict=True))
    fixed = {n for t, own in pairs for axis, n in enumerate(t.shape) if axis not in own}
    for tensor, own in pairs:
        for axis, group in own.items():
            if group not in sizes:
                sizes[group] = _distinct(tensor.shape[axis], fixed | set(sizes.values()))
    return tuple(_resized(t, own, sizes) for t, own in pairs)


def _distinct(size: int, taken: set[int]) -> int:
    if size > 1 and size not in taken:
        return size
    small = (n for n in _SIZES if n not in taken)
    large = (n for n in itertools.count(size + 32, 32) if n not in taken)
    return next(large) if size > max(_SIZES) else next(small)


def _resized(tensor: Tensor, axes: Mapping[int, object], sizes: Mapping[object, int]) -> Tensor:
    for axis, group in axes.items():
        have, want = tensor.shape[axis], sizes[group]
        if have != want and have:
            places = torch.arange(want, device=tensor.device) % have
            tensor = tensor.index_select(axis, places)
    return tensor
