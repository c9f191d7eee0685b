"""Find inputs whose values steer what is computed, and hold them to the values of the example.

Some models read sizes and positions off integer inputs by `.tolist()` or a boolean index, as
Qwen-VL does with `image_grid_thw`. torch.export cannot trace that, since the numbers are unknown to
it. Where they are held, whatever is computed from them alone is computed with the real numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

from ..errors import CaptureError

# What reads numbers off a tensor, and what takes a size from one.
_READERS = {"tolist", "item", "numpy", "__bool__", "__int__", "__index__", "__float__"}
_SIZERS = {"repeat_interleave", "nonzero", "unique", "masked_select", "bincount"}
_MASKS = (torch.bool, torch.uint8)
_UNKNOWN = (torch.SymInt, torch.SymFloat, torch.SymBool)
_FACTORIES = {torch.arange, torch.tensor, torch.zeros, torch.ones, torch.full, torch.as_tensor}


@dataclass
class Uses:
    """Record what a call does with the values of its inputs, by their names."""

    steering: set[str] = field(default_factory=set)
    looked_up: set[str] = field(default_factory=set)


class HeldTensor(Tensor):
    """An integer tensor whose values are known during a trace: ops on such alone are not traced.

    Beside any other tensor it is a constant.
    """

    origins: frozenset[str]
    uses: Uses

    @staticmethod
    def around(tensor: Tensor, origins: Iterable[str], uses: Uses) -> HeldTensor:
        """Return a held tensor of the same values, that says which inputs it was computed from."""
        with _disable_current_modes():  # under a trace it would become a fake of no values
            held: HeldTensor = tensor.as_subclass(HeldTensor)
        held.origins, held.uses = frozenset(origins), uses
        return held

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Collection[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute with the values; record what reads them."""
        given = (tuple(args), dict(kwargs or {}))
        held = list(_held(given))
        alone = all(isinstance(x, HeldTensor) for x in _tensors(given))
        _record(getattr(func, "__name__", ""), given, held)
        if not alone:
            given = _beside_others(getattr(func, "__name__", ""), given)
        plain_args, plain_kwargs = pytree.tree_map(_plain, given)
        with torch._C.DisableTorchFunctionSubclass():
            if not alone:
                return func(*plain_args, **plain_kwargs)
            with _disable_current_modes():
                result = func(*plain_args, **plain_kwargs)
        origins = frozenset[str]().union(*(h.origins for h in held))
        return pytree.tree_map(lambda x: _hold(x, origins, held[0].uses), result)


class KnownIntegers(TorchFunctionMode):
    """Takes integers that are made of numbers and held tensors alone, as by arange, for held."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Make integers with their values; leave all other calls as they are."""
        given = (tuple(args), dict(kwargs or {}))
        if func in _FACTORIES and all(map(_is_known, pytree.tree_leaves(given))):
            plain_args, plain_kwargs = pytree.tree_map(_plain, given)
            with torch._C.DisableTorchFunctionSubclass(), _disable_current_modes():
                made = func(*plain_args, **plain_kwargs)
            if _may_steer(made):
                return HeldTensor.around(made, [], Uses())
        return func(*args, **(kwargs or {}))


def _is_known(leaf: object) -> bool:
    return isinstance(leaf, HeldTensor) or not isinstance(leaf, (Tensor, *_UNKNOWN))


def steering_inputs(
    arguments: Mapping[str, object], call: Callable[[Mapping[str, object]], object]
) -> dict[str, Tensor]:
    """Call the model once and return the arguments whose values steer what it computes.

    What is looked up in a table as well is left out, since it is a source of relevance. Nothing is
    returned if the model does not run.

    Args:
        arguments: Arguments of one call, by parameter.
        call: Calls the model with such.
    """
    uses = Uses()
    try:
        with torch.no_grad():
            call({name: watch(name, v, uses) for name, v in arguments.items()})
    except Exception:
        return {}
    held = uses.steering - uses.looked_up
    return {n: v for n, v in arguments.items() if n in held and isinstance(v, Tensor)}


def watch(name: str, argument: object, uses: Uses) -> object:
    """Return an argument whose uses are recorded, if it holds integers or booleans."""
    if not isinstance(argument, Tensor) or not _may_steer(argument):
        return argument
    return HeldTensor.around(argument.clone(), [name], uses)


def _beside_others(name: str, given: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return the arguments of an op that reads held tensors beside others.

    Raises CaptureError where the op would write into a held one what is not known.
    """
    args, kwargs = given
    written = name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
    if (written and isinstance(args[0], HeldTensor)) or any(_held(kwargs.get("out"))):
        raise CaptureError(
            f"{name} writes what depends on other inputs into integers that are held"
        )
    if name in ("__getitem__", "__setitem__"):
        args = (args[0], _with_numbers(args[1]), *args[2:])
    return args, kwargs


def _with_numbers(index: Any) -> Any:
    """Write held masks in an index as the positions that they select: their count is known."""
    several = index if isinstance(index, tuple) else (index,)
    written: list[Any] = []
    for entry in several:
        if isinstance(entry, HeldTensor) and entry.dtype in _MASKS:
            written += _positions(entry)
        else:
            written.append(entry)
    return tuple(written) if isinstance(index, tuple) or len(written) != 1 else written[0]


def _positions(mask: HeldTensor) -> tuple[Tensor, ...]:
    with torch._C.DisableTorchFunctionSubclass(), _disable_current_modes():
        return mask.as_subclass(Tensor).nonzero(as_tuple=True)


def _may_steer(thing: object) -> bool:
    return isinstance(thing, Tensor) and not (thing.is_floating_point() or thing.is_complex())


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (x for x in pytree.tree_leaves(tree) if isinstance(x, Tensor))


def _held(tree: Any) -> Iterator[HeldTensor]:
    return (x for x in pytree.tree_leaves(tree) if isinstance(x, HeldTensor))


def _plain(leaf: Any) -> Any:
    if not isinstance(leaf, HeldTensor):
        return leaf
    with torch._C.DisableTorchFunctionSubclass(), _disable_current_modes():
        return leaf.as_subclass(Tensor)


def _hold(leaf: Any, origins: frozenset[str], uses: Uses) -> Any:
    return HeldTensor.around(leaf, origins, uses) if isinstance(leaf, Tensor) else leaf


def _record(name: str, given: tuple[Any, Any], held: Sequence[HeldTensor]) -> None:
    args, _ = given
    if name in _READERS or name in _SIZERS:
        for tensor in held:
            tensor.uses.steering |= tensor.origins
    if name == "__getitem__":
        for index in _held(args[1:]):
            if index.dtype in _MASKS and isinstance(args[0], HeldTensor):
                index.uses.steering |= index.origins
    if name in ("embedding", "embedding_bag"):
        for tensor in held:
            tensor.uses.looked_up |= tensor.origins
