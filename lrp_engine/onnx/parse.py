"""Parse all of a model file but its large weights, which stay where they are in the file.

Parsing a protobuf copies every weight, and reading one copies it again. A weight inside the file
is no more than a run of bytes at some offset, so it is written off as *external data* of the model
file itself: location "" stands for the file that is being read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from onnx import StringStringEntryProto, TensorProto

from ..errors import OnnxFileError

# Which fields of which message lead to tensors (onnx.proto).
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
}
_RAW_DATA = 9
_BYTES = 2  # the wire type of strings, bytes and messages
_FIXED = {1: 8, 5: 4}  # wire types of a fixed size
_DEEPEST = 100  # protobuf's own limit on nesting


class WireField(NamedTuple):
    """One field of a message: where it begins, where its content begins and where it ends."""

    number: int
    wire_type: int
    start: int
    content: int
    end: int


def strip_weights(data: memoryview, at_least: int) -> bytes:
    """Return the model's message with each weight of `at_least` bytes or more named by its place.

    Raises OnnxFileError if the bytes are not a protobuf message.
    """
    shorter = _shortened(data, 0, len(data), "model", at_least, 0)
    return bytes(data) if shorter is None else shorter


def _shortened(
    data: memoryview, start: int, end: int, kind: str, at_least: int, depth: int
) -> bytes | None:
    """Return the message between two offsets without its large weights; None if it has none."""
    if depth > _DEEPEST:
        raise OnnxFileError("its messages are nested too deeply")
    if kind == "tensor":
        return _outsourced(data, start, end, at_least)
    pieces: list[bytes] = []
    copied = start
    for field in _fields(data, start, end):
        inner = _INSIDE[kind].get(field.number) if field.wire_type == _BYTES else None
        # A message shorter than a large weight cannot hold one.
        if inner is None or field.end - field.content < at_least:
            continue
        new = _shortened(data, field.content, field.end, inner, at_least, depth + 1)
        if new is not None:
            head = _varint(field.number << 3 | _BYTES) + _varint(len(new))
            pieces += [bytes(data[copied : field.start]), head, new]
            copied = field.end
    return b"".join([*pieces, bytes(data[copied:end])]) if pieces else None


def _outsourced(data: memoryview, start: int, end: int, at_least: int) -> bytes | None:
    """Return a tensor's message with its raw data named by offset and length instead."""
    fields = list(_fields(data, start, end))
    raw = [f for f in fields if f.number == _RAW_DATA and f.wire_type == _BYTES]
    if not raw or raw[-1].end - raw[-1].content < at_least:
        return None
    rest = b"".join(bytes(data[f.start : f.end]) for f in fields if f not in raw)
    place = {"location": "", "offset": raw[-1].content, "length": raw[-1].end - raw[-1].content}
    external = TensorProto(
        data_location=TensorProto.EXTERNAL,
        external_data=[StringStringEntryProto(key=k, value=str(v)) for k, v in place.items()],
    )
    described: bytes = external.SerializeToString()
    return rest + described


def _fields(data: memoryview, start: int, end: int) -> Iterator[WireField]:
    """Yield the fields of one message, in order."""
    at = start
    while at < end:
        key, content = _read_varint(data, at, end)
        wire_type = key & 7
        if wire_type == _BYTES:
            length, content = _read_varint(data, content, end)
            stop = content + length
        elif wire_type == 0:
            _, stop = _read_varint(data, content, end)
        elif wire_type in _FIXED:
            stop = content + _FIXED[wire_type]
        else:
            raise OnnxFileError("it is not an ONNX model, or it is damaged")
        if stop > end:
            raise OnnxFileError("it is cut off, or it is not an ONNX model")
        yield WireField(key >> 3, wire_type, at, content, stop)
        at = stop


def _read_varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """Read a number of seven bits per byte, lowest first; return it and the offset behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise OnnxFileError("it is cut off, or it is not an ONNX model")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise OnnxFileError("it is not an ONNX model, or it is damaged")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
