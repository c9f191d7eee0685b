"""Read what a user calls the model with as (args, kwargs), with a name for every leaf."""

from __future__ import annotations

import inspect
from collections import UserDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import CaptureError
from .caches import open_caches

# Positional and keyword arguments. What is in them is the model's business.
CallArguments = tuple[tuple[Any, ...], dict[str, Any]]


def as_call(inputs: object) -> CallArguments:
    """Return inputs as (args, kwargs).

    Args:
        inputs: A tensor is one argument, a tuple positional arguments, a mapping keywords.
            `((...), {...})`, a tuple followed by a dict of keywords, is taken as both.

    >>> as_call({"mask": 1})
    ((), {'mask': 1})
    """
    call: CallArguments = open_caches(_as_call(inputs))
    return call


def _as_call(inputs: object) -> CallArguments:
    if isinstance(inputs, (Mapping, UserDict)):
        return (), dict(inputs)
    if isinstance(inputs, tuple):
        if len(inputs) == 2 and isinstance(inputs[0], tuple) and isinstance(inputs[1], dict):
            return inputs[0], dict(inputs[1])
        return inputs, {}
    return (inputs,), {}


def clone_inputs(call: CallArguments) -> CallArguments:
    """Clone tensors that a call gives twice, and those of inference mode.

    torch.export would take the two for one input. Tensors of inference mode cannot be traced.
    """
    seen: set[int] = set()

    def own(leaf: object) -> object:
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) in seen or leaf.is_inference():
            return leaf.clone()
        seen.add(id(leaf))
        return leaf

    cloned: CallArguments = pytree.tree_map(own, call)
    return cloned


@dataclass(frozen=True)
class Signature:
    """The names of a model's input leaves, their structure, and its positional arguments."""

    names: tuple[str, ...]
    in_spec: pytree.TreeSpec
    argument_names: tuple[str, ...]

    def flatten(self, args: Sequence[object], kwargs: Mapping[str, object]) -> list[object]:
        """Flatten a call's arguments in the order of `names`; raise ValueError on a mismatch."""
        leaves, spec = pytree.tree_flatten(self._bind(tuple(args), dict(kwargs)))
        if len(leaves) != len(self.names) or spec != self.in_spec:
            raise ValueError(self._mismatch((tuple(args), dict(kwargs))))
        return leaves

    def _mismatch(self, call: CallArguments) -> str:
        """Return how a call differs from the captured one."""
        given = leaf_names(call, self.argument_names)
        lacking = [name for name in self.names if name not in given]
        unknown = [name for name in given if name not in self.names]
        parts = [f"lacks {', '.join(lacking)}"] if lacking else []
        parts += [f"has {', '.join(unknown)}, which it does not take"] if unknown else []
        differs = " and ".join(parts) or "has them in other containers, or an argument twice"
        return f"the model was captured with inputs {', '.join(self.names)}; this call {differs}"

    def _bind(self, args: tuple[object, ...], kwargs: dict[str, object]) -> CallArguments:
        """Move arguments between positional and keyword form, as they were at capture."""
        args_spec, kwargs_spec = children_of(self.in_spec)
        count, keys = args_spec.num_children, list(kwargs_spec.context)
        by_name = dict(zip(self.argument_names, args, strict=False)) | kwargs
        clash = len(by_name) < len(args) + len(kwargs)
        if clash or set(by_name) != {*self.argument_names[:count], *keys}:
            return args, kwargs
        return (
            tuple(by_name[n] for n in self.argument_names[:count]),
            {key: by_name[key] for key in keys},
        )


def children_of(spec: pytree.TreeSpec) -> list[pytree.TreeSpec]:
    """Return the specs inside one: a method in newer torch, an attribute in older."""
    return list(
        spec.children() if callable(getattr(spec, "children", None)) else spec.children_specs
    )


def argument_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of forward's positional parameters, in order."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = forward_signature(model).parameters.values()
    return tuple(p.name for p in parameters if p.kind in kinds)


def arguments_by_name(model: nn.Module, call: CallArguments) -> dict[str, Any]:
    """Return a call's arguments by the parameters of forward; `*xs` and `**kw` are one each."""
    args, kwargs = call
    return forward_signature(model).bind(*args, **kwargs).arguments


def forward_signature(model: nn.Module) -> inspect.Signature:
    """Return the parameters of a module's forward, without `self`.

    Tools that put a forward of their own on a module often pass it off as the class's function.
    """
    forward = model.forward
    inside = inspect.unwrap(forward, stop=lambda f: hasattr(f, "__signature__"))
    if inside is type(model).forward:
        return inspect.signature(type(model).forward.__get__(model))
    return inspect.signature(forward)


def require_signature(function: Callable[..., object]) -> None:
    """Raise CaptureError if Python does not know a function's parameters."""
    try:
        inspect.signature(function)
    except ValueError as error:
        name = getattr(function, "__name__", repr(function))
        raise CaptureError(
            f"{name} is a built-in function, of which Python does not know the parameters: give"
            f" one of your own that calls it, such as lambda x: {name}(x)"
        ) from error


def name_keywords(signature: inspect.Signature, keywords: Iterable[str]) -> inspect.Signature:
    """Return a signature with the keywords of a call as parameters in the place of `**kw`.

    torch.export cannot give free sizes to what is behind `**kw`.
    """
    known = signature.parameters
    fixed = [p for p in known.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    if len(fixed) == len(known):
        return signature
    new = [inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY) for k in keywords if k not in known]
    return signature.replace(parameters=[*fixed, *new])


def leaf_names(call: CallArguments, names: tuple[str, ...]) -> list[str]:
    """Return a readable name per leaf: `input_ids`, `extra.a`, `pair.0`."""
    paths, _ = pytree.tree_flatten_with_path(call)
    return [_path_name(path, names) for path, _ in paths]


def output_names(out_spec: pytree.TreeSpec) -> list[str]:
    """Return a readable name per output leaf: `logits`, `output`, `output.0`."""
    leaves = pytree.tree_unflatten(list(range(out_spec.num_leaves)), out_spec)
    paths, _ = pytree.tree_flatten_with_path(leaves)
    return [".".join(_key_text(k) for k in path) or "output" for path, _ in paths]


def _path_name(path: Sequence[object], names: tuple[str, ...]) -> str:
    side, *rest = path
    keys = [_key_text(k) for k in rest]
    if _key_text(side) == "0" and keys:
        position = int(keys[0])
        keys[0] = names[position] if position < len(names) else f"input_{position}"
    return ".".join(keys)


def _key_text(key: object) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)
