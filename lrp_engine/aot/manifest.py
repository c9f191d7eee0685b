"""The manifest of a package: plain data about its programs, written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch

from ..boundary.tables import parse_json_object
from ..capture.shape_contract import Axes
from ..errors import PackageError
from .structure import Structure

FORMAT = "lrp-engine package 1"
WHOLE, ROW = "output", "row"

Made = TypeVar("Made")

# A constant among inputs or outputs, or a size as an expression.
Constant = bool | int | float | str | None


@dataclass(frozen=True)
class PackageInput:
    """One leaf of the inputs: a tensor's shape, dtype and device, or its constant at capture."""

    name: str
    shape: Axes | None
    dtype: str = ""
    device: str = ""
    constant: object = None


@dataclass(frozen=True)
class PackageOutput:
    """One leaf of the outputs: the next tensor of the forward program, a size, or a constant.

    A size is given as an expression.
    """

    kind: str
    value: Constant = None


@dataclass(frozen=True)
class StoredConstant:
    """A constant of a compiled program: the record that it reads, and its layout in memory."""

    record: str
    dtype: str
    device: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class PackagedMask:
    """A mask that was left out, and the program that computes it from sizes."""

    program: str
    symbols: tuple[str, ...]
    kind: str
    device: str


@dataclass(frozen=True)
class Manifest:
    """The data that a package needs besides its compiled programs.

    `ones` lists the sets of free sizes that were tried at 1, `starts` the pairs of programs, `held`
    the constants of every program by its name, `orders` how its arguments lie in memory.
    """

    format: str
    machine: Mapping[str, str]
    provenance: Mapping[str, Any]
    inputs: tuple[PackageInput, ...]
    input_structure: Structure
    argument_names: tuple[str, ...]
    conditions: tuple[str, ...]
    ones: tuple[tuple[str, ...], ...]
    masks: tuple[PackagedMask, ...]
    outputs: tuple[PackageOutput, ...]
    output_structure: Structure
    explained: int
    sources: tuple[str, ...]
    starts: tuple[str, ...]
    held: Mapping[str, Mapping[str, StoredConstant]]
    orders: Mapping[str, tuple[tuple[int, ...], ...]]

    def text(self) -> str:
        """Return the manifest as JSON. Raises PackageError if something in it is not plain data."""
        try:
            return json.dumps(asdict(self), allow_nan=True)
        except (TypeError, ValueError) as error:
            raise PackageError(
                f"a constant of the model cannot be written as JSON: {error}"
            ) from error


def program_names(start: str) -> tuple[str, str]:
    """Return the names of a pair's forward and relevance programs."""
    return f"{start}_forward", f"{start}_relevance"


def dtype_name(dtype: torch.dtype) -> str:
    """Return a dtype's name, such as `float32`."""
    return str(dtype).removeprefix("torch.")


def parse_dtype(name: str) -> torch.dtype:
    """Return the dtype of that name. Raises ValueError if there is none."""
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"{name!r} is not a dtype of torch")
    return found


def parse_manifest(text: str) -> Manifest:
    """Parse a package's manifest. Raises PackageError if it is damaged or of another format."""
    data = parse_json_object(text, "its description", PackageError)
    if data.get("format") != FORMAT:
        raise PackageError(f"format {data.get('format')!r} is not {FORMAT!r}: package again")
    try:
        return Manifest(
            **{
                **data,
                "inputs": _each(PackageInput, data["inputs"]),
                "masks": _each(PackagedMask, data["masks"]),
                "outputs": _each(PackageOutput, data["outputs"]),
                "ones": tuple(tuple(names) for names in data["ones"]),
                "held": {
                    program: {name: _made(StoredConstant, row) for name, row in held.items()}
                    for program, held in data["held"].items()
                },
            }
        )
    except Exception as error:  # whatever damaged data leads to
        raise PackageError(
            f"its description is damaged: {type(error).__name__}: {error}"
        ) from error


def _each(kind: type[Made], rows: list[dict[str, object]]) -> tuple[Made, ...]:
    return tuple(_made(kind, row) for row in rows)


def _made(kind: type[Made], row: dict[str, object]) -> Made:
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})
