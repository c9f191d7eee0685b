"""What a package says about its programs: plain data, written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch

from ..capture.shapes import Axes
from ..errors import PackageError

FORMAT = "lrp-engine package 1"
WHOLE, ROW = "output", "row"

Made = TypeVar("Made")


@dataclass(frozen=True)
class Port:
    """One leaf of the inputs: a tensor's shape and kind, or the constant that it was at capture."""

    name: str
    shape: Axes | None
    dtype: str = ""
    device: str = ""
    constant: Any = None


@dataclass(frozen=True)
class Leaf:
    """One leaf of the outputs: the next tensor that the forward program returns, a size (as an
    expression) or a constant.
    """

    kind: str
    value: Any = None


@dataclass(frozen=True)
class Stored:
    """A constant of a compiled program: which stored numbers it reads, and how they lie."""

    record: str
    dtype: str
    device: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class MaskKind:
    """A mask that was left out, and the program that computes it from sizes."""

    program: str
    symbols: tuple[str, ...]
    kind: str
    device: str


@dataclass(frozen=True)
class Manifest:
    """All that is needed beside the compiled programs.

    `ones` lists the sets of free sizes that were tried at 1, `starts` the pairs of programs, `held`
    the constants of every program by its name, `orders` how its arguments lie in memory.
    """

    format: str
    machine: Mapping[str, str]
    provenance: Mapping[str, Any]
    inputs: tuple[Port, ...]
    input_structure: Any
    argument_names: tuple[str, ...]
    conditions: tuple[str, ...]
    ones: tuple[tuple[str, ...], ...]
    masks: tuple[MaskKind, ...]
    outputs: tuple[Leaf, ...]
    output_structure: Any
    explained: int
    sources: tuple[str, ...]
    starts: tuple[str, ...]
    held: Mapping[str, Mapping[str, Stored]]
    orders: Mapping[str, tuple[tuple[int, ...], ...]]

    def text(self) -> str:
        """As JSON; raises PackageError if something in it is not plain data."""
        try:
            return json.dumps(asdict(self), allow_nan=True)
        except (TypeError, ValueError) as error:
            raise PackageError(f"a constant of the model is no plain data: {error}") from error


def programs_of(start: str) -> tuple[str, str]:
    """The names of a pair's programs."""
    return f"{start}_forward", f"{start}_relevance"


def dtype_name(dtype: torch.dtype) -> str:
    """`float32`."""
    return str(dtype).removeprefix("torch.")


def dtype_of(name: str) -> torch.dtype:
    """The dtype of that name; raises ValueError if there is none."""
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"{name!r} is no dtype")
    return found


def read(text: str) -> Manifest:
    """The manifest of a package; raises PackageError if it is not one of this format."""
    try:
        data = json.loads(text)
        if data.get("format") != FORMAT:
            raise PackageError(f"format {data.get('format')!r} is not {FORMAT!r}: package again")
        return Manifest(
            **{
                **data,
                "inputs": _each(Port, data["inputs"]),
                "masks": _each(MaskKind, data["masks"]),
                "outputs": _each(Leaf, data["outputs"]),
                "ones": tuple(tuple(names) for names in data["ones"]),
                "held": {
                    program: {name: _made(Stored, row) for name, row in held.items()}
                    for program, held in data["held"].items()
                },
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PackageError(
            f"its description is damaged: {type(error).__name__}: {error}"
        ) from error


def _each(kind: type[Made], rows: list[dict[str, Any]]) -> tuple[Made, ...]:
    return tuple(_made(kind, row) for row in rows)


def _made(kind: type[Made], row: dict[str, Any]) -> Made:
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})
