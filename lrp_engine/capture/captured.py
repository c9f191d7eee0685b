"""Define what capture returns: one graph, and how its inputs, outputs and tensors are named."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ..graphs.constants import Constant
from ..graphs.nodes import device_of
from ..graphs.randomness import find_draws
from ..graphs.signs import Sign, sign_of
from ..method.op import Op
from .premises import Premises
from .same_objects import SameObjects
from .shape_contract import ShapeContract, Symbol
from .signature import Signature
from .tensor_homes import TensorHome

_DEVICE, _DTYPE = attrgetter("device"), attrgetter("dtype")


class CaptureMode(Enum):
    """The way in which a model was captured."""

    EXPORTED = "exported by torch.export: holds for every input that meets the shape contract"
    RECORDED = "recorded: the control flow of the example call, checked at run time"


@dataclass(frozen=True)
class InputPort:
    """One leaf of the model's inputs."""

    name: str
    node: fx.Node


@dataclass(frozen=True)
class OutputPort:
    """One tensor leaf of the model's outputs.

    `joins`: positions of the outputs that this one joins, flattened, behind one another.
    """

    name: str
    node: fx.Node
    position: int
    joins: tuple[int, ...] = ()


class Claim(Protocol):
    """An assumption of a pass that is checked at the sizes of every call."""

    def holds(self, sizes: Mapping[Symbol, int]) -> bool:
        """Return whether the assumption is true at these sizes, given by symbol."""


class Decided(Protocol):
    """Something that was decided by the values of a constant, which is compared at every call."""

    def change(self) -> str | None:
        """Return what has changed; None if nothing has."""


@dataclass(frozen=True)
class DecidedSign:
    """The sign of a constant, by which it was decided what an op is."""

    what: str
    sign: Sign
    constant: Constant

    def change(self) -> str | None:
        """Return what has changed; None if the entries still have this sign."""
        now = sign_of(self.constant.value())
        if now is self.sign:
            return None
        found = now.value if now else "of both signs, or zero"
        return f"{self.what} was {self.sign.value} and is {found}"


class TensorRecord(NamedTuple):
    """A parameter, buffer or constant, with the device and dtype that it had at capture."""

    tensor: Tensor
    name: str
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class Captured:
    """A model as a functional graph of ATen ops.

    `graph` has one placeholder per input leaf, a `get_attr` node per parameter, buffer or
    constant (looked up in `tensors`, the model's own objects), and one output node that
    returns the flat list of output leaves. Until it is canonicalised, a `get_attr` node may also
    stand for a graph within the graph, which is then its value. `modules` maps a module path to
    the values that its calls returned, `homes` says where the model keeps the tensors, `premises`
    what else was taken for granted, `decided` what was decided by the values of constants, and
    `rerun` calls the model itself. `taken_apart` lists ops
    that were decomposed, which may change the last bits of the result. `held`: inputs, by name,
    that the capture holds for at these values only. `records`: what the model's code declares of
    its own autograd functions.
    """

    graph: fx.Graph
    tensors: Mapping[str, Tensor]
    inputs: tuple[InputPort, ...]
    outputs: tuple[OutputPort, ...]
    in_spec: pytree.TreeSpec
    out_spec: pytree.TreeSpec
    argument_names: tuple[str, ...]
    shapes: ShapeContract
    modules: Mapping[str, tuple[fx.Node, ...]]
    mode: CaptureMode
    notes: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    decided: tuple[Decided, ...] = ()
    homes: tuple[TensorHome, ...] = ()
    premises: Premises | None = None
    rerun: Callable[..., Any] | None = None
    taken_apart: tuple[str, ...] = ()
    held: Mapping[str, Tensor] = field(default_factory=dict)
    records: tuple[Op, ...] = ()

    @cached_property
    def tensor_records(self) -> tuple[TensorRecord, ...]:
        """Every tensor of the graph with its name, device and dtype at capture."""
        return tuple(
            TensorRecord(
                self.tensors[str(n.target)],
                n.meta["tensor_name"],
                device_of(n.meta["val"]),
                n.meta["val"].dtype,
            )
            for n in self.graph.find_nodes(op="get_attr")
        )

    @cached_property
    def kept(self) -> SameObjects:
        """The model's tensors and modules at the places where `homes` found them."""
        return SameObjects.at(((home, key), what) for home, key, what, _ in self.homes)

    @cached_property
    def counted(self) -> tuple[Tensor, ...]:
        """The tensors of the graph whose changes in place torch counts."""
        return tuple(t for t in self.tensors.values() if not t.is_inference())

    def has_moved(self) -> bool:
        """Return whether a tensor of the graph has another device or dtype than at capture."""
        tensors, devices, dtypes = self._placed
        same = list(map(_DEVICE, tensors)) == devices and list(map(_DTYPE, tensors)) == dtypes
        return not same

    @cached_property
    def _placed(self) -> tuple[list[Tensor], list[torch.device], list[torch.dtype]]:
        records = self.tensor_records
        return [r.tensor for r in records], [r.device for r in records], [r.dtype for r in records]

    @cached_property
    def fingerprint(self) -> int:
        """A number that tells graphs of one model apart: what was decomposed, folded, left out."""
        return hash(tuple(f"{n.op} {n.name} {n.target}" for n in self.graph.nodes))

    @cached_property
    def draws(self) -> tuple[fx.Node, ...]:
        """The ops that draw random numbers."""
        return find_draws(self.graph)

    @property
    def signature(self) -> Signature:
        """The names and structure of the model's inputs."""
        names = tuple(port.name for port in self.inputs)
        return Signature(names, self.in_spec, self.argument_names)

    def unflatten_outputs(self, leaves: Sequence[Any]) -> Any:
        """Return output leaves in the model's own structure.

        Values inside the model that became outputs, too, come last and are left out.
        """
        return pytree.tree_unflatten(list(leaves)[: self.out_spec.num_leaves], self.out_spec)

    def flatten_inputs(self, args: Sequence[object], kwargs: Mapping[str, object]) -> list[object]:
        """Flatten a call's arguments in the order of `inputs`; raise ValueError on a mismatch."""
        return self.signature.flatten(args, kwargs)


class CapturesItself(ABC):
    """A model that knows how to become a graph: one read from an ONNX file, for example.

    The engine calls `capture` in place of torch.export, and so need not know the file format.
    """

    @abstractmethod
    def capture(self, example: Any = None, *, dynamic: Any, output: str | None = None) -> Captured:
        """Return the model as a functional graph of ATen ops.

        Args:
            example: Example inputs, as a tensor, a tuple or a mapping; None lets the model make
                them up from what it knows of its inputs.
            dynamic: True keeps every size open that the model leaves open, False fixes every
                size, and anything else names the open sizes in the model's own way.
            output: A value inside the model that becomes an output, too.

        Raises:
            CaptureError: if the model has parts that cannot be captured.
            InputError: if the example does not fit the model, or is needed and missing.
            TargetError: if the model computes no value called `output`.
        """
